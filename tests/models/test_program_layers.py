"""Cells that are programs as native layers: in every combinator, alone and in batches, in steps and scans, and the bits
of PyTorch's side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from both_sides import BOTH_WAYS, CAUSAL, WIDTH, made, scan
from torch import nn
from torch.nn.functional import linear

import stepscan as ss
from stepscan import registry
from stepscan.backends.execution import Options
from stepscan.backends.layers import NativeLayer
from stepscan.backends.native_arrays import address
from stepscan.cells.catalogue import cell_classes
from stepscan.definitions.program_cell import ProgramCell
from stepscan.estimators.stored_programs import on_arrays
from stepscan.kernels import native
from stepscan.kernels.library_programs import inference_program
from stepscan.state import leaves
from zoo import STEPS

pytestmark = pytest.mark.skipif(native.library is None, reason="no native library was built")
LENGTHS = [4, 0, 5, 1]


class Leaky(ss.Recurrence):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.weight_hh = nn.Parameter(0.3 * torch.randn(hidden_size, input_size + hidden_size))

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> Any:
        return self.zeros(batch_size, self.output_size, device, dtype)

    def step(self, x: torch.Tensor, h: torch.Tensor) -> Any:
        h = 0.9 * h + 0.1 * torch.tanh(linear(torch.cat([x, h], dim=1), self.weight_hh))
        return h, h


class Started(Leaky):
    """A cell whose initial state is a parameter, but for its second leaf, which is 0.5 everywhere."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.first = nn.Parameter(torch.linspace(-1, 1, hidden_size))

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> Any:
        first = self.first.expand(batch_size, -1)
        return first, torch.full_like(first, 0.5)

    def step(self, x: torch.Tensor, state: Any) -> Any:
        h, slow = state
        h = torch.tanh(linear(torch.cat([x, h], dim=1), self.weight_hh) + slow)
        return h, (h, 0.9 * slow + 0.1 * h)


OWN = {"layers_leaky": Leaky, "layers_started": Started}


@pytest.fixture(scope="module", autouse=True)
def registered_cells() -> Any:
    for name, cls in OWN.items():
        ss.register(name)(cls)
    yield
    for name in OWN:
        del registry._classes[name]


def flat(state: Any) -> np.ndarray:
    """The leaves of a state of PyTorch, side by side, as a row of a native layer has them."""
    return np.concatenate([leaf.reshape(len(leaf), -1).numpy() for leaf in leaves(state)], axis=1)


def inputs(layer: Any) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(LENGTHS), max(LENGTHS), layer.input_size)).astype(np.float32)


def check_rows_and_steps(layer: NativeLayer, x: np.ndarray, outputs: np.ndarray, final: np.ndarray) -> None:
    """A row alone, steps of one row and of all have the bits of the scan of all rows."""
    for row, length in enumerate(LENGTHS):
        alone, state = scan(layer, x[row : row + 1], [length])
        np.testing.assert_array_equal(alone[0], outputs[row])
        np.testing.assert_array_equal(state[0], final[row])
        stepped = layer.initial_state(1)
        for t in range(length if layer.causal else 0):
            y, stepped = layer.step(x[row : row + 1, t], stepped)
            np.testing.assert_array_equal(y[0], outputs[row, t])
        np.testing.assert_array_equal((stepped if layer.causal else state)[0], final[row])
    if layer.causal:
        first, _ = layer.step(x[:, 0], layer.initial_state(len(x)))
        np.testing.assert_array_equal(first[np.array(LENGTHS) > 0], outputs[np.array(LENGTHS) > 0, 0])


@pytest.mark.parametrize("name", [*STEPS, *OWN])
def test_every_cell_has_the_bits_of_pytorchs_side(name: str) -> None:
    cell = made(lambda: cell_classes().get(name, OWN.get(name))(8, 8))
    layer = on_arrays(cell)
    assert isinstance(layer, NativeLayer)
    assert (layer.signature, layer.condition_size) == (f"{name}(8 → 8)", cell.condition_size)
    x, vector = inputs(layer), torch.randn(3, cell.condition_size)
    with torch.no_grad():
        expected, final = cell(ss.Sequences(torch.from_numpy(x), torch.tensor(LENGTHS)))
        np.testing.assert_array_equal(layer.initial_state(2), flat(cell.initial_state(2)))
        np.testing.assert_array_equal(layer.condition(vector.numpy()), flat(cell.condition(vector)))
        np.testing.assert_array_equal(layer.readout(flat(final)), cell.readout(final).numpy())
    outputs, state = scan(layer, x, LENGTHS)
    np.testing.assert_array_equal(outputs, expected.data.numpy())
    np.testing.assert_array_equal(state, flat(final))
    check_rows_and_steps(layer, x, outputs, state)


@pytest.mark.parametrize("combinator", [*CAUSAL, *BOTH_WAYS])
def test_every_combinator_is_one_native_layer(combinator: str) -> None:
    make = (CAUSAL | BOTH_WAYS)[combinator]
    model = made(lambda: make(Started))
    layer, x = on_arrays(model), inputs(model)
    assert isinstance(layer, NativeLayer)
    outputs, final = scan(layer, x, LENGTHS)
    with torch.no_grad():
        expected, _ = model(ss.Sequences(torch.from_numpy(x), torch.tensor(LENGTHS)))
    np.testing.assert_allclose(outputs, expected.data.numpy(), rtol=0, atol=1e-6)
    if (
        "zoneout" not in combinator and "residual of bidirectional" not in combinator
    ):  # whose steps PyTorch takes itself
        np.testing.assert_array_equal(outputs, expected.data.numpy())
    check_rows_and_steps(layer, x, outputs, final)
    two, _ = scan(on_arrays(model, Options(threads=2)), np.tile(x, (40, 1, 1)), LENGTHS * 40)
    np.testing.assert_array_equal(two, np.tile(outputs, (40, 1, 1)))


def test_layers_of_both_kinds_stack() -> None:
    """Also in a bidirectional layer of which one direction is a program; and conditions reach each cell's slice."""
    model = made(lambda: ss.Stack([Leaky(WIDTH, 6), ss.LSTM(6, 7), Started(7, 4), ss.GRU(4, 3)]))
    layer, x = on_arrays(model), inputs(model)
    with torch.no_grad():
        expected, final = model(ss.Sequences(torch.from_numpy(x), torch.tensor(LENGTHS)))
        vector = torch.randn(2, model.condition_size)
        np.testing.assert_array_equal(layer.condition(vector.numpy()), flat(model.condition(vector)))
    outputs, state = scan(layer, x, LENGTHS)
    np.testing.assert_array_equal(outputs, expected.data.numpy())
    np.testing.assert_array_equal(state, flat(final))
    check_rows_and_steps(layer, x, outputs, state)
    both = made(lambda: ss.Bidirectional(Leaky(WIDTH, 6), ss.LSTM(WIDTH, 7)))
    with torch.no_grad():
        expected, _ = both(ss.Sequences(torch.from_numpy(x), torch.tensor(LENGTHS)))
    np.testing.assert_array_equal(scan(on_arrays(both), x, LENGTHS)[0], expected.data.numpy())


def test_a_state_that_no_vector_sets_is_the_initial_one() -> None:
    class Unset(Started):
        condition_size = 0

        def condition(self, vector: torch.Tensor) -> Any:
            return self.initial_state(len(vector))

    ss.register("layers_unset")(Unset)
    layer = on_arrays(made(lambda: Unset(3, 4)))
    del registry._classes["layers_unset"]
    np.testing.assert_array_equal(layer.condition(np.zeros((2, 0))), layer.initial_state(2))
    assert layer.initial_state(1)[0, 4:].tolist() == [0.5] * 4


@pytest.mark.parametrize(("weights", "limit"), [("bfloat16", 2e-2), ("int8", 5e-2)])
def test_weights_in_fewer_bits(weights: str, limit: float) -> None:
    """Nearly the same outputs, and the same bits alone as in a batch."""
    model = made(lambda: ss.Stack([Leaky(WIDTH, 36), ss.GRU(36, 20)]))
    exact, layer, x = on_arrays(model), on_arrays(model, Options(weights)), inputs(model)
    outputs, state = scan(layer, x, LENGTHS)
    assert 0 < np.abs(outputs - scan(exact, x, LENGTHS)[0]).max() < limit
    check_rows_and_steps(layer, x, outputs, state)


def test_a_stream_begins_in_the_initial_state() -> None:
    layer = on_arrays(made(lambda: ss.Stack([Started(3, 4), ss.Residual(Started(4, 4))])))
    stream, state = native.library.Stream(layer.native), np.empty((1, layer.state_size), np.float32)
    stream.read(address(state), 0)
    np.testing.assert_array_equal(state, layer.initial_state(1))


def test_wrong_inputs_are_refused() -> None:
    layer = on_arrays(made(lambda: Leaky(3, 4)))
    with pytest.raises(ValueError, match=r"layers_leaky\(3 → 4\): expected inputs of size 3, got 2"):
        scan(layer, np.zeros((1, 2, 2), np.float32), [1])
    with pytest.raises(ValueError, match="lengths: expected 1 numbers from 0 to 2"):
        scan(layer, np.zeros((1, 2, 3), np.float32), [3])
    with pytest.raises(ValueError, match=r"expected a state \[1, 4\], got \[1, 5\]"):
        scan(layer, np.zeros((1, 2, 3), np.float32), [1], np.zeros((1, 5), np.float32))


def test_what_the_library_cannot_run_runs_in_numpy(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    """One line says so; a stack runs it beside native layers."""
    model = made(lambda: ss.Stack([Leaky(WIDTH, 6), ss.LSTM(6, 3)]))
    x = inputs(model)
    expected, _ = scan(on_arrays(model), x, LENGTHS)

    def refuse(program: Any) -> Any:
        if program.state == (6,):
            raise ValueError("no such operation")
        return inference_program(program)

    monkeypatch.setattr("stepscan.definitions.program_cell.inference_program", refuse)
    stack = on_arrays(model)
    first, second = stack.layers
    assert isinstance(first, ProgramCell)
    assert isinstance(second, NativeLayer)
    np.testing.assert_allclose(scan(stack, x, LENGTHS)[0], expected, rtol=0, atol=1e-6)
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "layers_leaky runs in NumPy: no such operation"
    ]
