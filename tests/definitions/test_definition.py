"""A definition has the tensors and sizes of the model that PyTorch builds, and both refuse the same in one message."""

from __future__ import annotations

import copy
import inspect
import itertools
import random

import pytest
import torch

import stepscan as ss
from stepscan.definitions.definition import specify
from stepscan.definitions.layer import LayerDefinition
from stepscan.errors import ModelFormatError, UnsupportedLayer
from stepscan.registry import build, describe, registered_classes
from zoo import VARIANTS

LAYERS = {
    **VARIANTS,
    "lstm, bias said": lambda i, h: ss.LSTM(i, h, bias=True),
    "transformer": lambda i, h: ss.Transformer(i, h, heads=2),
    "linear": ss.Linear,
}
AROUND = {
    "itself": lambda layer: layer,
    "stack": lambda layer: ss.Stack([layer, ss.Dropout(6, 0.1), ss.LayerNorm(6), ss.Linear(6, 6)]),
    "residual": lambda layer: ss.Stack(
        [layer, ss.Residual(ss.Stack([ss.VariationalDropout(6, 0.1), ss.Linear(6, 6)]))]
    ),
    "zoneout": lambda layer: ss.Zoneout(layer, 0.1),
    "weight_drop": lambda layer: ss.WeightDrop(layer, 0.1),
    "bidirectional": lambda layer: ss.Bidirectional(layer, build(describe(layer))),
    "attentive_decoder": lambda layer: ss.AttentiveDecoder(layer, 5, 3),
    "general attention": lambda layer: ss.AttentiveDecoder(layer, 5, 3, kind="general"),
    "cross_attention": lambda layer: ss.Stack([layer, ss.CrossAttention(6, 5, heads=3)]),
}


def attentive(kind: str = "additive", feeding: bool = False, memory: int = 8) -> ss.Layer:
    inner = ss.GRU(4 + 6 * feeding, 6)
    return ss.AttentiveDecoder(inner, memory, 5, input_feeding=feeding, kind=kind)


def translator(layer: ss.Layer, size: int = 8, **options: object) -> ss.ConditionedGenerator:
    return ss.ConditionedGenerator(
        ss.Embedding(11, 4), ss.LSTM(4, size), ss.Generator(ss.Embedding(9, 4), layer, tie_weights=True, **options)
    )


def words() -> ss.WordAndCharacterEmbedding:
    spelling = ss.Bidirectional(ss.GRU(3, 2), ss.GRU(3, 2))
    return ss.WordAndCharacterEmbedding(ss.Embedding(9, 4), ss.Embedding(7, 3), spelling, 0.1)


PATTERNS = [
    lambda: ss.Encoder(ss.Embedding(9, 4), ss.LSTM(4, 6), 3),
    lambda: ss.Encoder(None, ss.LSTM(4, 6), 1, pooling="attention", problem_type="regression"),
    lambda: ss.Encoder(
        ss.NumericEmbedding(2), ss.BidirectionalTransformer(2, 6), 3, pooling="max", problem_type="multilabel"
    ),
    lambda: ss.Encoder(ss.NumericEmbedding(2, 5), ss.Transformer(5, 6), 3, dropout=0.5, label_smoothing=0.1),
    lambda: ss.Transducer(words(), ss.Bidirectional(ss.LSTM(8, 6), ss.LSTM(8, 6)), 3),
    lambda: ss.CRFTransducer(words(), ss.GRU(8, 6), 3, forbidden=[[-1, 0], [0, 2], [0, 1], [1, -1], [2, -1]]),
    lambda: ss.Generator(ss.Embedding(9, 4), ss.LSTM(4, 6)),
    lambda: ss.Generator(ss.Embedding(9, 4), ss.LSTM(4, 6), initial="learned", tie_weights=True),
    lambda: ss.Generator(ss.Embedding(9, 6), ss.Residual(ss.GRU(6, 6)), initial="learned", tie_weights=True),
    lambda: ss.NumericGenerator(ss.NumericEmbedding(2, 4), ss.GRU(4, 6)),
    lambda: ss.NumericGenerator(ss.NumericEmbedding(2), ss.GRU(2, 6), head="quantile"),
    lambda: translator(ss.GRU(4, 6)),
    lambda: translator(attentive()),
    lambda: translator(attentive("general", feeding=True)),
    lambda: translator(attentive("dot", memory=6), 6),
    lambda: translator(ss.Stack([ss.Transformer(4, 6), ss.CrossAttention(6, 8)])),
    lambda: ss.ConditionedGenerator(
        None, ss.LSTM(4, 8), ss.Generator(ss.Embedding(9, 4), ss.Zoneout(ss.GRU(4, 6), 0.1))
    ),
]


def assert_specified(model) -> None:
    found = specify(describe(model))
    dtypes = {torch.float32: "F32", torch.float64: "F64"}
    assert found.tensor_specs == {n: (dtypes[t.dtype], tuple(t.shape)) for n, t in model.state_dict().items()}
    if isinstance(found, LayerDefinition):
        assert (found.input_size, found.output_size) == (model.input_size, model.output_size)
        assert found.causal == isinstance(model, ss.Recurrence)
        assert not found.causal or found.condition_size == model.condition_size
    else:
        sizes = [part.vocabulary_size for part in model.modules() if isinstance(part, ss.Embedding)]
        assert sorted(found.vocabularies.values()) == sorted(sizes)
        decides = isinstance(model, ss.Encoder | ss.Transducer) and getattr(model, "problem_type", "") != "regression"
        assert found.labels == (model.head.out_features if decides else None)


@pytest.mark.parametrize(("cell", "around"), [*itertools.product(LAYERS, AROUND)])
def test_layers(cell, around):
    layer = LAYERS[cell](4, 6)
    try:
        whole = AROUND[around](layer)
    except (TypeError, ValueError):
        assert_refused({around: {"layer": describe(layer), "p": 0.1}})
    else:
        assert_specified(whole)


@pytest.mark.parametrize("make", PATTERNS)
def test_patterns(make):
    assert_specified(make())


def assert_refused(description, *errors: type[Exception]) -> None:
    """Both sides refuse a description with the same error."""
    messages = []
    for make in (build, specify):
        with pytest.raises(errors or (TypeError, ValueError)) as caught:
            make(description)
        messages.append((type(caught.value), str(caught.value)))
    assert messages[0] == messages[1]


def test_every_built_in_class_has_a_definition():
    """Or is a step, written as users write one, which only PyTorch can run."""
    for name, cls in registered_classes().items():
        if not cls.__module__.startswith("stepscan."):
            continue
        defined = {vars(base).get("registered_name") for base in cls.__mro__ if "definitions" in base.__module__}
        if name in defined:
            assert_refused({name: {"nothing": 1}}, ModelFormatError)
            continue
        assert "step" in vars(cls)
        with pytest.raises(UnsupportedLayer, match=f"'{name}'"):
            specify({name: {"nothing": 1}})


LSTM = {"lstm": {"input_size": 4, "hidden_size": 6}}
GRU = {"gru": {"input_size": 4, "hidden_size": 6}}
SEES_ALL = {"bidirectional": {"forward": LSTM, "backward": LSTM}}
SYMBOLS = {"embedding": {"vocabulary_size": 9, "size": 4}}
DECODER = {"attentive_decoder": {"layer": GRU, "memory_size": 5, "attention_size": 3}}
WRONG = [
    {"elman": {"input_size": 4, "hidden_size": 6, "nonlinearity": "sigmoid"}},
    {"gru": {"input_size": 0, "hidden_size": 6}},
    {"gru": {"input_size": 4, "hidden_size": "6"}},
    {"dropout": {"size": 4, "p": 1}},
    {"zoneout": {"layer": LSTM, "p": -0.1}},
    {"zoneout": {"layer": SEES_ALL, "p": 0.1}},
    {"zoneout": {"layer": DECODER, "p": 0.1}},
    {"weight_drop": {"layer": {"linear": {"input_size": 4, "output_size": 4}}, "p": 0.1}},
    {"residual": {"layer": LSTM}},
    {"stack": []},
    {"stack": [LSTM, LSTM]},
    {"stack": [LSTM, 3]},
    {"bidirectional": {"forward": LSTM, "backward": {"gru": {"input_size": 5, "hidden_size": 6}}}},
    {"transformer": {"input_size": 4, "hidden_size": 6, "heads": 4}},
    {"transformer": {"input_size": 4, "hidden_size": 6, "context": 0}},
    {"attentive_decoder": {"layer": SEES_ALL, "memory_size": 5, "attention_size": 3}},
    {"attentive_decoder": {"layer": GRU, "memory_size": 5, "attention_size": 3, "kind": "dot"}},
    {"attentive_decoder": {"layer": GRU, "memory_size": 5, "attention_size": 3, "kind": "cosine"}},
    {"attentive_decoder": {"layer": GRU, "memory_size": 5, "attention_size": 3, "input_feeding": True}},
    {"encoder": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 2, "problem_type": "regression"}},
    {"encoder": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 2, "pooling": "first"}},
    {"crf_transducer": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 2, "forbidden": [[0, 2]]}},
    {"crf_transducer": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 2, "forbidden": [[0, 0], [0, 1]]}},
    {"crf_transducer": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 2, "forbidden": [[-1, 0], [-1, 1]]}},
    {"crf_transducer": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 2, "forbidden": [[0, -1], [1, -1]]}},
    {"crf_transducer": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 2, "forbidden": [[-1, -1]]}},
    {"generator": {"embedding": SYMBOLS, "layer": SEES_ALL}},
    {"generator": {"embedding": SYMBOLS, "layer": LSTM, "initial": "random"}},
    {"forecaster": {"embedding": {"numbers": {"size": 4}}, "layer": LSTM, "head": "student"}},
    {"forecaster": {"embedding": {"numbers": {"size": 4}}, "layer": SEES_ALL}},
    {
        "conditioned_generator": {
            "embedding": SYMBOLS,
            "encoder": LSTM,
            "generator": {"generator": {"embedding": SYMBOLS, "layer": DECODER}},
        }
    },
    {
        "conditioned_generator": {
            "embedding": SYMBOLS,
            "encoder": LSTM,
            "generator": {"generator": {"embedding": SYMBOLS, "layer": LSTM, "initial": "learned"}},
        }
    },
    {"encoder": {"embedding": {"embedding": {"vocabulary_size": 9, "size": 5}}, "layer": LSTM, "outputs": 2}},
    {"encoder": {"embedding": LSTM, "layer": LSTM, "outputs": 2}},
    {"encoder": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 0}},
    {"generator": {"embedding": None, "layer": LSTM}},
    {"generator": {"embedding": SYMBOLS, "layer": LSTM, "tie_weights": 1}},
    {"forecaster": {"embedding": SYMBOLS, "layer": LSTM}},
    {"conditioned_generator": {"embedding": SYMBOLS, "encoder": LSTM, "generator": LSTM}},
    {"crf_transducer": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 2, "forbidden": [[True, False]]}},
    {"crf_transducer": {"embedding": SYMBOLS, "layer": LSTM, "outputs": 2, "forbidden": 1}},
    {"word_and_character_embedding": {"words": SYMBOLS, "characters": SYMBOLS, "spelling": SYMBOLS}},
    {"word_and_character_embedding": {"words": LSTM, "characters": SYMBOLS, "spelling": LSTM}},
    {"embedding": {"vocabulary_size": 9, "size": 4, "dropout": "0.5"}},
    {"embedding": {"vocabulary_size": 9, "size": 4, "unknown": -1}},
]


@pytest.mark.parametrize("description", WRONG, ids=str)
def test_both_sides_refuse_the_same(description):
    assert_refused(description)


VALUES = [
    *(None, True, False, 0, 1, -1, 5, 10**30, 0.5, 1.5, -0.1, float("nan"), "", "last", "dot", "tanh"),
    *([], [1], [[0, 1]], {}, {"a": 1, "b": 2}, LSTM, SYMBOLS, SEES_ALL, {"numbers": {"size": 2}}),
]


def paths(value, path=()):
    """The paths of all parts of a description."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def outcome(make, description):
    try:
        with torch.device("meta"):
            make(description)
    except (TypeError, ValueError, ModelFormatError) as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("example", range(len(PATTERNS) + len(AROUND)))
def test_both_sides_say_the_same_of_mutations(example):
    makers = [*PATTERNS, *(lambda around=around: around(ss.GRU(4, 6)) for around in AROUND.values())]
    original, draw = describe(makers[example]()), random.Random(example)
    for _ in range(100):
        description = copy.deepcopy(original)
        *above, key = draw.choice(list(paths(description)))
        parent = description
        for name in above:
            parent = parent[name]
        parent[key] = draw.choice(VALUES)
        assert outcome(build, description) == outcome(specify, description), description


PROBABILITIES = {"p", "dropout", "embedding_dropout", "word_dropout", "label_smoothing"}


def with_probabilities() -> list[tuple[str, str]]:
    """Every class of the registry whose constructor takes a probability, and what that is called."""
    takes = {name: inspect.signature(kind).parameters for name, kind in registered_classes().items()}
    return [(name, own) for name, parameters in takes.items() for own in parameters if own in PROBABILITIES]


@pytest.mark.parametrize("value", [1.5, 1.0, -0.1, float("nan"), "0.5", True, None])
@pytest.mark.parametrize(("name", "argument"), with_probabilities())
def test_a_probability_is_checked_on_both_sides_alike(name, argument, value):
    examples = [make() for make in PATTERNS] + [around(ss.GRU(4, 6)) for around in AROUND.values()]
    examples += [ss.Transformer(4, 6), ss.BidirectionalTransformer(4, 6), ss.VariationalDropout(4, 0.1)]
    example = next(
        part for whole in examples for part in whole.modules() if getattr(part, "registered_name", "") == name
    )
    description = describe(example)
    assert build(description)
    description[name][argument] = value
    for make in (build, specify):
        with pytest.raises(ValueError, match=f"{argument}: expected a probability, at least 0 and below 1, got"):
            make(description)


@pytest.mark.parametrize("noise", [-0.1, float("inf"), "0.1"])
def test_noise_is_checked_on_both_sides_alike(noise):
    for make in (build, specify):
        with pytest.raises(ValueError, match="noise: expected a standard deviation, finite and at least 0"):
            make({"numbers": {"size": 2, "noise": noise}})


def test_a_layer_that_is_not_built_in():
    with pytest.raises(
        UnsupportedLayer, match=r"no layer or model 'lstmm' is built in.*Did you mean 'lstm'\?"
    ) as caught:
        specify({"stack": [{"lstmm": {"input_size": 4, "hidden_size": 6}}]})
    assert caught.value.layer == "lstmm"


def test_plain_data_are_themselves():
    assert specify([1, "a", None, {"a": 1, "b": 2}]) == [1, "a", None, {"a": 1, "b": 2}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"given": ""}, "given"),
        ({"given": -1}, "given"),
        ({"given": True}, "given"),
        ({"others": 1}, "others: expected a number of given symbols"),
        ({"given": 2, "others": 8}, "others: expected a number of given symbols after the unknown one, got 8"),
        ({"given": 2, "others": 1.0}, "others"),
    ],
)
def test_given_vectors_that_cannot_be(arguments, words):
    with pytest.raises((ValueError, TypeError, ModelFormatError), match=words):
        specify({"embedding": {"vocabulary_size": 9, "size": 4, **arguments}})


def test_given_vectors():
    found = specify({"embedding": {"vocabulary_size": 9, "size": 4, "given": 2, "others": 7}})
    assert found.output_size == 6
    assert {name: tensor.shape for name, tensor in found.tensor_specs.items()} == {
        "weight": (2, 4),
        "weight_given": (9, 2),
    }
