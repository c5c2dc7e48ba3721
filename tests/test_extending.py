"""What it takes to add a combinator, a pooling, an option of training and a cell: a toy of each, and no more."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan import options
from stepscan.backends.batches import pad as pad_arrays
from stepscan.backends.weights import Weights
from stepscan.data.batching import pad
from stepscan.definitions.definition import Part, Weight, definition, specify
from stepscan.definitions.encoder import Encoder as EncoderDefinition
from stepscan.definitions.kinds import Causal, Probability
from stepscan.definitions.wrappers import WrapperDefinition
from stepscan.fields import POOLING, PROBABILITY
from stepscan.models.model import load_model
from stepscan.options import TRAINING, ClassifyOptions, Option
from stepscan.registry import build, describe

ROWS = [[1, 2, 3], [], [4], [2, 2, 1, 3, 4]]
TEXTS, LABELS = ["good film", "bad film", "good", "bad"] * 6, ["p", "n"] * 12
SMALL = {"hidden_size": 8, "embedding_size": 8, "epochs": 2, "verbose": False, "wide": False}


# A combinator: its definition, and its torch class, which adds nothing.


@definition("toy_scaled")
@dataclass(eq=False, repr=False)
class ScaledDefinition(WrapperDefinition):
    """`y_t = gain ⊙ layer(x)_t`, with a trained gain."""

    layer: Causal
    p: Probability = 0.0

    has_kernel = False

    def parts(self) -> dict[str, Part | None]:
        return {"gain": Weight((self.output_size,))}

    def scan(self, inputs: Any, state: Any = None) -> tuple[Any, Any]:
        outputs, state = self.layer(self.check_input(inputs), state)
        return outputs.map(lambda data: self.gain * self.apply_dropout(data, self.p)), state

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        y, state = self.layer.step(x, state)
        return self.gain * self.apply_dropout(y, self.p), state

    def readout(self, state: Any) -> Any:
        return self.gain * self.layer.readout(state)


@ss.register("toy_scaled")
class Scaled(ScaledDefinition, ss.Recurrence):
    def __post_init__(self) -> None:
        super().__post_init__()
        torch.nn.init.constant_(self.gain, 0.5)


def test_a_combinator():
    torch.manual_seed(0)
    layer = ss.Stack([Scaled(ss.LSTM(3, 4)), ss.Residual(Scaled(ss.GRU(4, 4), 0.2)), ss.LayerNorm(4)])
    ss.laws.check(layer)
    assert build(describe(layer)).signature == "Stack(3 → 4)"
    for make in (build, specify):
        with pytest.raises(ValueError, match="p: expected a probability"):
            make({"toy_scaled": {"layer": describe(ss.LSTM(3, 4)), "p": 2}})
    model = ss.Encoder(ss.Embedding(5, 3), layer, 2).eval()
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    network = specify(describe(model)).bind(Weights(tensors))
    assert np.array_equal(network.scores(ROWS), model.scores(ROWS))


# A value of a pattern's option: its name, and its line in the definition of the pattern.


def test_a_pooling(monkeypatch, tmp_path):
    pool = EncoderDefinition._pool

    def with_first(self: Any, outputs: Any) -> Any:
        if self.pooling != "first":
            return pool(self, outputs)
        return outputs.data[:, 0] if outputs.steps else self.ops.sum_over_time(outputs.data)

    monkeypatch.setattr(EncoderDefinition, "_pool", with_first)
    object.__setattr__(POOLING, "values", values := (*POOLING.values, "first"))
    monkeypatch.setattr(type(POOLING), "__hash__", object.__hash__)
    try:
        assert "first" in values
        model = ss.Encoder(ss.Embedding(5, 3), ss.GRU(3, 4), 2, pooling="first").eval()
        tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        network = specify(describe(model)).bind(Weights(tensors))
        assert np.array_equal(network.features(ROWS), model.features(ROWS))
        with torch.inference_mode():
            outputs, _ = model.layer(model.embedding(pad(ROWS)))
        assert np.array_equal(network.features(ROWS), outputs.data[:, 0].numpy())
        classifier = ss.Classifier(**SMALL, pooling="first").fit(TEXTS, LABELS)
        classifier.save(tmp_path / "m")
        assert load_model(tmp_path / "m").predict(TEXTS[:4]).tolist() == classifier.predict(TEXTS[:4]).tolist()
    finally:
        object.__setattr__(POOLING, "values", values[:-1])


# An option of training: its field.


def test_an_option_of_training():
    toy = Annotated[float, Option(PROBABILITY, "Probability of a toy.", TRAINING)]
    table = dataclasses.make_dataclass(
        "WithToy",
        [("toy", toy, 0.25)],
        bases=(ClassifyOptions,),
        kw_only=True,
        namespace={"__module__": options.__name__},
    )
    assert options.settings_of(table)["toy"].default == 0.25
    assert "    toy: Probability of a toy. Default: 0.25." in list(options.described_options(table))
    with pytest.raises(ss.SettingsError, match="toy: expected a probability, at least 0 and below 1, got 2"):
        options.check_settings(table, {"toy": 2})
    assert table(toy=0.5).toy == 0.5


# A cell: a step and an initial state.


@ss.register("toy_cell")
class ToyCell(ss.Recurrence):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.projection = torch.nn.Linear(input_size, hidden_size)

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return self.zeros(batch_size, self.output_size, device, dtype)

    def step(self, x, state):
        state = torch.tanh(0.5 * state + self.projection(x))
        return state, state


def test_a_cell(tmp_path):
    ss.laws.check(ToyCell(3, 4))
    classifier = ss.Classifier(**SMALL, cell="toy_cell").fit(TEXTS, LABELS)
    classifier.save(tmp_path / "m")
    assert ss.load(tmp_path / "m").predict_proba(TEXTS[:2]) == pytest.approx(classifier.predict_proba(TEXTS[:2]))
    runtime_model = load_model(tmp_path / "m")  # without the class: by the program of its step
    assert runtime_model.predict_proba(TEXTS[:2]) == pytest.approx(classifier.predict_proba(TEXTS[:2]), abs=1e-6)
    assert pad_arrays(ROWS).steps == 5


class WithNames(ToyCell):
    """Names that users give to parts of a layer."""

    def __init__(self, size: int) -> None:
        self.early = torch.nn.Linear(size, size)
        super().__init__(size, size)
        self.drop, self.width, self.title, self.tensors = torch.nn.Dropout(0.5), 3, "toy", [1]

    def step(self, x, state):
        return super().step(self.drop(self.early(x)), state)


def test_names_of_attributes():
    layer = WithNames(3).eval()
    ss.laws.check(layer)
    assert layer.width == 3
    assert "early.weight" in dict(layer.named_parameters())
    with pytest.raises(
        AttributeError, match="WithNames: expected another name than 'parts', which every layer defines"
    ):
        layer.parts = 3


def test_an_own_embedding():
    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.output_size = torch.nn.Embedding(5, 3), 3

        def forward(self, inputs):
            return inputs.map(self.table)

    model = ss.Encoder(Own(), ss.GRU(3, 4), 2).eval()
    with torch.inference_mode():
        assert np.array_equal(model.scores(ROWS), model(pad(ROWS)).numpy())
    with pytest.raises(ValueError, match="expected an embedding of size 4"):
        ss.Encoder(Own(), ss.GRU(4, 4), 2)


def test_integers_of_numpy_are_refused():
    with pytest.raises(TypeError, match=r"hidden_size: expected an int, got int32 4; convert it with int\(\)"):
        ss.GRU(3, np.int32(4))


def test_hooks_of_a_pattern():
    model, calls = ss.Encoder(ss.Embedding(5, 3), ss.GRU(3, 4), 2).eval(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    model.scores(ROWS)
    assert calls == [1]
