"""A layer tree is data: described as plain JSON and built again; whatever does not fit is refused in words."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

import stepscan as ss
from stepscan import registry
from stepscan.errors import ModelFormatError
from stepscan.registry import build, describe, register


@pytest.fixture(autouse=True)
def _own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(registry, "_classes", registry.registered_classes())


def tree() -> ss.Encoder:
    layer = ss.Stack(
        [
            ss.Bidirectional(ss.LSTM(4, 3), backward=ss.GRU(4, 3, bias=False)),
            ss.Dropout(6, p=0.5),
            ss.Residual(ss.Stack([ss.Elman(6, 6, "relu")])),
            ss.Linear(6, 2),
        ]
    )
    return ss.Encoder(ss.Embedding(10, 4), layer, outputs=3, pooling="mean")


DESCRIPTION = {
    "encoder": {
        "embedding": {"embedding": {"vocabulary_size": 10, "size": 4}},
        "layer": {
            "stack": [
                {
                    "bidirectional": {
                        "forward": {"lstm": {"input_size": 4, "hidden_size": 3}},
                        "backward": {"gru": {"input_size": 4, "hidden_size": 3, "bias": False}},
                    }
                },
                {"dropout": {"size": 6, "p": 0.5}},
                {
                    "residual": {
                        "layer": {"stack": [{"elman": {"input_size": 6, "hidden_size": 6, "nonlinearity": "relu"}}]}
                    }
                },
                {"linear": {"input_size": 6, "output_size": 2}},
            ]
        },
        "outputs": 3,
        "pooling": "mean",
    }
}


def test_description_is_plain_data() -> None:
    assert describe(tree()) == DESCRIPTION
    assert json.loads(json.dumps(describe(tree()))) == DESCRIPTION


def test_round_trip_through_json_gives_the_same_model() -> None:
    torch.manual_seed(0)
    model = tree().eval()
    again = build(json.loads(json.dumps(describe(model)))).eval()
    assert describe(again) == DESCRIPTION
    assert [(name, type(part)) for name, part in again.named_modules()] == [
        (name, type(part)) for name, part in model.named_modules()
    ]
    again.load_state_dict(model.state_dict())
    ids = ss.Sequences.pad([[1, 2, 3], [], [9]])
    assert torch.equal(again(ids), model(ids))


@pytest.mark.parametrize(
    "layer",
    [
        ss.AttentiveDecoder(ss.GRU(5, 2), memory_size=4, attention_size=3, input_feeding=True),
        ss.Stack([ss.LSTM(2, 2), ss.VariationalDropout(2, 0.25), ss.LayerNorm(2)]),
        ss.Residual(ss.Bidirectional(ss.GRU(2, 1), ss.GRU(2, 1))),
        ss.WordAndCharacterEmbedding(ss.Embedding(5, 2), ss.Embedding(4, 3), ss.GRU(3, 2), dropout=0.1),
        ss.ConditionedGenerator(None, ss.GRU(2, 3), ss.Generator(ss.Embedding(5, 2), ss.GRU(2, 3), tie_weights=True)),
        ss.Transducer(ss.Embedding(5, 2), ss.GRU(2, 3), 4),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_everything_built_in_goes_round(layer: Any) -> None:
    described = json.loads(json.dumps(describe(layer)))
    again = build(described)
    assert type(again) is type(layer)
    assert describe(again) == described
    again.load_state_dict(layer.state_dict())


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(
        ModelFormatError, match=r"expected the name of a registered layer or model, got 'lstn'\. Did you mean 'lstm'\?"
    ):
        build({"lstn": {"input_size": 4, "hidden_size": 3}})
    with pytest.raises(ModelFormatError, match="If it is your own, import the module that registers it first"):
        build({"stack": [{"my own": {}}]})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_size": 4}, "missing a required argument: 'hidden_size'"),
        ({"input_size": 4, "hidden_size": 3, "depth": 2}, "got an unexpected keyword argument 'depth'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFormatError, match=f"the description of 'lstm' does not fit its constructor: {words}"):
        build({"lstm": arguments})


def test_name_taken_twice_is_refused_but_the_same_class_may_come_again() -> None:
    @register("mine")
    class Mine:
        pass

    with pytest.raises(ValueError, match=r"got 'mine', which is .*Mine; choose another name"):

        @register("mine")
        class Other:
            pass

    assert register("mine")(Mine) is Mine  # as when a module is loaded again


def test_unregistered_subclass_is_not_described_as_its_parent() -> None:
    class MyLSTM(ss.LSTM):
        pass

    with pytest.raises(
        TypeError, match=r"expected an object of a registered class, got MyLSTM; decorate it with @register\('name'\)"
    ):
        describe(ss.Stack([MyLSTM(2, 2)]))


def test_registered_subclass_remembers_its_own_arguments() -> None:
    @register("wide lstm")
    class WideLSTM(ss.LSTM):
        def __init__(self, size: int, factor: int = 2) -> None:
            super().__init__(size, size * factor)

    layer = WideLSTM(3, factor=4)
    assert describe(layer) == {"wide lstm": {"size": 3, "factor": 4}}
    assert build(describe(layer)).output_size == 12
    assert describe(ss.LSTM(3, 12)) == {"lstm": {"input_size": 3, "hidden_size": 12}}


def test_callers_list_may_change_afterwards() -> None:
    layers: list[ss.Layer] = [ss.GRU(2, 2)]
    stack = ss.Stack(layers)
    layers.append(ss.LSTM(2, 2))
    assert describe(stack) == {"stack": [{"gru": {"input_size": 2, "hidden_size": 2}}]}


def test_unregistered_class_and_odd_values() -> None:
    with pytest.raises(TypeError, match="registered class, got Linear"):
        describe(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match="registered class, got dict"):
        describe({"a": 1})  # it would come back as an object named a
    assert describe([1, 2.5, None, True, "b"]) == [1, 2.5, None, True, "b"]
    assert build([1, "a", None, {"x": 1, "y": 2}]) == [1, "a", None, {"x": 1, "y": 2}]


def test_built_in_names_are_known_before_anything_was_imported() -> None:
    program = (
        "import stepscan as ss; print(ss.build({'stack': [{'lstm': {'input_size': 2, 'hidden_size': 3}}]}).signature)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Stack(2 → 3)"


def test_descriptions_that_would_not_come_back_are_refused() -> None:
    with pytest.raises(TypeError, match=r"expected named constructor arguments, got \*\*settings; name them"):

        @register("open-ended")
        class OpenEnded:
            def __init__(self, **settings):
                pass


def test_a_parameter_may_be_called_name_and_a_single_list_keeps_its_own() -> None:
    @register("named")
    class Named:
        def __init__(self, name=None, extra=None):
            self.name, self.extra = name, extra

    again = build(describe(Named(extra=[1])))
    assert (again.name, again.extra) == (None, [1])
    assert build(describe(Named(name="n"))).name == "n"
