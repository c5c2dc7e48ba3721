"""Every regulariser in every task: a function of the seed, recorded, off in evaluation, refused in words."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from toy_tasks import FAST

import stepscan as ss

SMALL = {**FAST, "hidden_size": 4, "embedding_size": 4, "epochs": 1, "layers": 2, "dropout": 0.2}
OPTIONS = [
    {"variational": True},
    {"embedding_dropout": 0.3},
    {"zoneout": 0.2},
    {"weight_drop": 0.4},
    {"label_smoothing": 0.3},
    {"zoneout": 0.2, "weight_drop": 0.4, "variational": True, "embedding_dropout": 0.1, "label_smoothing": 0.1},
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


OF_WRITING = [
    {"activation_regularisation": 2.0},
    {"temporal_activation_regularisation": 1.0},
    {"vary_bptt": True},
    {"softmax_samples": 2},
]
CASES = [(task, options) for task in TASKS for options in OPTIONS] + [("generate", options) for options in OF_WRITING]


@pytest.mark.parametrize(("task", "options"), CASES, ids=lambda part: part if isinstance(part, str) else "+".join(part))
def test_it_acts_and_repeats_itself(task, options, tmp_path):
    plain, first, second = TASKS[task]({}), TASKS[task](options), TASKS[task](options)
    weights = [list(model.model_.state_dict().values()) for model in (plain, first, second)]
    assert all(torch.equal(a, b) for a, b in zip(weights[1], weights[2], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    first.save(tmp_path / "model")
    loaded = ss.load(tmp_path / "model")
    assert {name: loaded.get_params()[name] for name in options} == options
    assert not loaded.model_.training


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_label_smoothing(share):
    torch.manual_seed(0)
    encoder = ss.Encoder(None, ss.GRU(3, 4), 5, label_smoothing=share)
    inputs, targets = ss.Sequences(torch.randn(6, 2, 3), [2] * 6), torch.arange(6) % 5
    expected = F.cross_entropy(encoder(inputs), targets, reduction="sum", label_smoothing=share)
    assert torch.allclose(encoder.loss(inputs, targets).total, expected)
    plain = F.cross_entropy(encoder(inputs), targets, reduction="sum")
    assert torch.allclose(encoder.eval().loss(inputs, targets).total, plain)
    transducer = ss.Transducer(None, ss.GRU(3, 4), 5, label_smoothing=share)
    target = ss.Sequences(torch.tensor([[1, 2], [4, 0]]), [2, 1])
    item_scores = transducer(ss.Sequences(inputs.data[:2], [2, 1]))[0].items()
    expected = F.cross_entropy(item_scores, torch.tensor([1, 2, 4]), reduction="sum", label_smoothing=share)
    assert torch.allclose(transducer.loss(ss.Sequences(inputs.data[:2], [2, 1]), target).total, expected)


@pytest.mark.parametrize(
    ("task", "options", "words"),
    [
        ("classify", {"zoneout": 1.0}, "zoneout: expected a probability, at least 0 and below 1"),
        ("classify", {"weight_drop": -0.1}, "weight_drop: expected a probability, at least 0"),
        ("generate", {"zoneout": 0.1, "cell": "transformer"}, "or take another cell, such as lstm"),
        ("classify", {"weight_drop": 0.1, "cell": "transformer"}, "or take another cell, such as lstm"),
        ("tag", {"label_smoothing": 0.1, "crf": True}, "label_smoothing: expected 0 with crf, got 0.1"),
        ("translate", {"weight_drop": 0.1, "input_feeding": True}, "input feeding goes step by step"),
    ],
)
def test_what_does_not_go_together(task, options, words):
    with pytest.raises(ss.SettingsError, match=words):
        TASKS[task](options)
