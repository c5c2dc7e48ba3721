"""What helps against gradients that vanish or explode, in every task: it acts, is kept, and runs without torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toy_tasks import FAST

import stepscan as ss
from stepscan.definitions.initialisation import Initialisation
from stepscan.estimators.architecture import build_layer
from stepscan.kernels import native
from stepscan.registry import describe

SMALL = {**FAST, "hidden_size": 4, "embedding_size": 4, "epochs": 1, "layers": 2, "dropout": 0.2}
OPTIONS = [
    {"max_grad_value": 0.001},
    {"forget_bias": 3.0},
    {"initialisation": "chrono"},
    {"initialisation": "chrono", "t_max": 50, "cell": "gru"},
    {"initialisation": "identity", "cell": "elman"},
    {"residual": True},
    {"residual": True, "cell": "layer_norm_lstm", "initialisation": "chrono", "variational": True, "weight_drop": 0.1},
]
TEXTS, LABELS = ["a b c", "b a", "c c a b"] * 8, ["x", "y", "x"] * 8
TASKS = {
    "classify": lambda options: ss.Classifier(**{**SMALL, **options}).fit(TEXTS, LABELS),
    "tag": lambda options: ss.Tagger(**{**SMALL, **options}).fit(
        [text.split() for text in TEXTS], [[word.upper() for word in text.split()] for text in TEXTS]
    ),
    "generate": lambda options: ss.LanguageModel(**{**SMALL, "bptt": 8, **options}).fit(" ".join(TEXTS) * 4),
    "translate": lambda options: ss.Translator(**{**SMALL, "label_smoothing": 0.0, **options}).fit(
        TEXTS, [text[::-1] for text in TEXTS]
    ),
}
QUESTIONS = {
    "classify": lambda model: model.predict_proba(TEXTS),
    "tag": lambda model: np.array(model.predict([TEXTS[2].split()])),
    "generate": lambda model: np.array(list(model.generate("a b", length=20, seed=0))),
    "translate": lambda model: np.array(model.predict(TEXTS[:3])),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(map(str, options)))
def test_it_acts_and_survives(task, options, tmp_path):
    plain, model = TASKS[task]({"cell": options.get("cell", "lstm")}), TASKS[task](options)
    before, after = plain.model_.state_dict(), model.model_.state_dict()
    assert before.keys() != after.keys() or not all(torch.equal(before[name], after[name]) for name in before)
    model.save(tmp_path / "model")
    loaded = ss.load(tmp_path / "model")
    assert {name: loaded.get_params()[name] for name in options} == options
    predictions = QUESTIONS[task](model)
    np.testing.assert_array_equal(QUESTIONS[task](loaded), predictions)
    if native.library is not None:
        np.testing.assert_array_equal(QUESTIONS[task](ss.runtime.load(tmp_path / "model")), predictions)


def cells_of(model):
    return [part for part in model.model_.modules() if isinstance(part, ss.LSTM | ss.GRU | ss.Elman)]


@pytest.mark.parametrize(
    ("task", "longest"), [("classify", 4), ("tag", 4), ("generate", 8), ("translate", len("c c a b") + 1)]
)
def test_chrono_takes_the_longest_sequence(task, longest):
    """Words of a text, tokens of a sentence, the window, symbols of a text and its end."""
    options = (
        {"initialisation": "chrono", "tokenizer": "character"} if task == "translate" else {"initialisation": "chrono"}
    )
    options["refit"] = True  # on the longest text, too, where it was held out
    chosen = {cell.scheme.t_max for cell in cells_of(TASKS[task](options))} - {None}  # of the spelling: none
    assert chosen == {longest}


def test_chrono_of_series():
    model = ss.Classifier(**{**SMALL, "initialisation": "chrono"}).fit(np.zeros((20, 30)), ["x", "y"] * 10)
    assert {cell.scheme.t_max for cell in cells_of(model)} == {30}


def test_an_elman_network_of_identity_has_relus():
    layer = build_layer("elman", 3, 4, layers=2, initialisation=Initialisation("identity"))
    assert [part.nonlinearity for part in layer.layers] == ["relu", "relu"]
    assert all(torch.equal(part.weight_hh, torch.eye(4)) for part in layer.layers)


@pytest.mark.parametrize(
    ("bidirectional", "width", "first"),
    [(False, 8, None), (False, 6, (6, 8)), (True, 8, (8, 16)), (True, 16, None)],
)
def test_a_residual_stack_fits_widths(bidirectional, width, first):
    """Where what comes in is not as wide as what goes out, and only there, a projection stands before it."""
    torch.manual_seed(0)
    layer = build_layer("lstm", width, 8, layers=3, bidirectional=bidirectional, residual=True)
    parts = list(layer.layers)
    if first is not None:
        projection = parts.pop(0)
        assert (projection.input_size, projection.output_size) == first
    wide = 16 if bidirectional else 8
    assert [(isinstance(p, ss.Residual), p.input_size, p.output_size) for p in parts] == [(True, wide, wide)] * 3
    assert isinstance(layer, ss.Recurrence) != bidirectional


def test_a_residual_layer_adds_what_it_takes():
    torch.manual_seed(0)
    layer = build_layer("gru", 4, 4, layers=2, residual=True, dropout=0.5).eval()
    inputs = ss.Sequences(torch.randn(2, 5, 4), [5, 3])
    first, second = layer.layers[0].layer, layer.layers[1].layer.layers[1]
    after = inputs.data + first(inputs)[0].data
    expected = after + second(ss.Sequences(after, [5, 3]))[0].data
    torch.testing.assert_close(layer(inputs)[0].data, ss.Sequences(expected, [5, 3]).zeroed().data)


def test_dropout_stands_beside_the_residual():
    """What is dropped is dropped from the branch: the way around it stays whole."""
    description = describe(build_layer("gru", 4, 4, layers=2, residual=True, dropout=0.5))
    below, above = description["stack"]
    assert list(below["residual"]["layer"]) == ["gru"]
    assert [next(iter(part)) for part in above["residual"]["layer"]["stack"]] == ["dropout", "gru"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, -1.0),
        ({"cell": "lstm, lstm"}, -1.0),
        ({"forget_bias": 0.5}, 0.5),
        ({"cell": "gru"}, None),
        ({"cell": "lstm,gru"}, None),
        ({"initialisation": "chrono"}, None),
    ],
)
def test_the_forget_bias_of_text_to_generate(settings, expected):
    model = ss.LanguageModel(**settings, hidden_size=4).build("to be or not to be " * 9)
    assert model.effective_settings.forget_bias == expected
    if expected is not None:
        first = next(layer for layer in model.model_.layer.modules() if isinstance(layer, ss.LSTM))
        assert first.bias_ih.chunk(4)[1].tolist() == [expected] * 4


def test_forget_bias_of_every_layer():
    layer = build_layer("lstm", 3, 4, layers=2, bidirectional=True, initialisation=Initialisation(forget_bias=-2.5))
    result = [part.bias_ih[4:8].tolist() for part in layer.modules() if isinstance(part, ss.LSTM)]
    assert result == [[-2.5] * 4] * 4


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [
        (
            "classify",
            {"initialisation": "identity"},
            "initialisation: expected orthogonal or chrono for the cell lstm, got identity",
        ),
        (
            "tag",
            {"initialisation": "chrono", "cell": "elman"},
            "expected orthogonal or identity for the cell elman, got chrono",
        ),
        ("generate", {"initialisation": "chrono", "cell": "lstm,elman"}, "for the cell elman, got chrono"),
        (
            "classify",
            {"initialisation": "chrono", "t_max": 2},
            "t_max: expected a whole number of at least 3, got 2",
        ),
        ("classify", {"t_max": 9}, "t_max: expected none with orthogonal initialisation, got 9"),
        (
            "classify",
            {"initialisation": "crono"},
            "initialisation: expected 'orthogonal', 'identity' or 'chrono'",
        ),
        (
            "translate",
            {"forget_bias": 1.0, "cell": "gru"},
            "forget_bias: expected a cell that has it .layer_norm_lstm or lstm., got gru",
        ),
        ("classify", {"forget_bias": math.nan}, "forget_bias: expected a finite number"),
        ("classify", {"forget_bias": 1.0, "initialisation": "chrono"}, "omit forget_bias"),
        (
            "generate",
            {"initialisation": "chrono", "cell": "transformer"},
            "initialisation: expected a cell that has it .*, got transf",
        ),
        (
            "classify",
            {"residual": True, "cell": "transformer"},
            "residual: expected elman, lstm or gru, got bidir",
        ),
        ("classify", {"max_grad_value": 0.0}, "max_grad_value: expected a number above 0, got 0.0"),
    ],
)
def test_what_does_not_go_together(task, options, words):
    with pytest.raises(ss.SettingsError, match=words):
        TASKS[task](options)
