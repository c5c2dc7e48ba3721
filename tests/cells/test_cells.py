"""Elman, LSTM and GRU: one step against its equations in NumPy, first weights, fused scans against PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import stepscan as ss
from stepscan.cells.cell import Cell

WITH_TWINS = [ss.Elman, ss.LSTM, ss.GRU]  # in PyTorch, which they are compared with


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def numpy_step(cell: Cell, x: np.ndarray, *state: np.ndarray) -> list[np.ndarray]:
    """One step of one row from the equations in the cells' docstrings: the next state, h first."""
    w_x, w_h, b_x, b_h = (weight.detach().numpy() for weight in cell.weights)
    size = cell.hidden_size
    of_x = [w_x[k * size : (k + 1) * size] @ x + b_x[k * size : (k + 1) * size] for k in range(cell.gates)]
    of_h = [w_h[k * size : (k + 1) * size] @ state[0] + b_h[k * size : (k + 1) * size] for k in range(cell.gates)]
    if isinstance(cell, ss.Elman):
        total = of_x[0] + of_h[0]
        return [np.tanh(total) if cell.nonlinearity == "tanh" else np.maximum(total, 0)]
    if isinstance(cell, ss.LSTM):
        i, f, o = (sigmoid(of_x[k] + of_h[k]) for k in (0, 1, 3))
        c = f * state[1] + i * np.tanh(of_x[2] + of_h[2])
        return [o * np.tanh(c), c]
    r, z = (sigmoid(of_x[k] + of_h[k]) for k in (0, 1))
    n = np.tanh(of_x[2] + r * of_h[2])
    return [(1 - z) * n + z * state[0]]


@pytest.mark.parametrize("make", [*WITH_TWINS, lambda i, h: ss.Elman(i, h, "relu")])
def test_step_is_its_equations(make: Callable[[int, int], Cell]) -> None:
    torch.manual_seed(1)
    cell = make(3, 2).double()
    for weight in cell.weights:
        nn.init.normal_(weight)
    random = np.random.default_rng(0)
    x, before = random.normal(size=(4, 3)), [random.normal(size=(4, 2)) for _ in cell.initial_state(1)]
    y, after = cell.step(torch.from_numpy(x), type(cell.initial_state(1))(*map(torch.from_numpy, before)))
    for row in range(4):
        expected = numpy_step(cell, x[row], *(leaf[row] for leaf in before))
        np.testing.assert_allclose(y[row].detach().numpy(), expected[0], rtol=1e-12)
        for leaf, value in zip(after, expected, strict=True):
            np.testing.assert_allclose(leaf[row].detach().numpy(), value, rtol=1e-12)


def of_one_number(cell: Cell, input_weights: list[float], recurrent_weights: list[float], biases: list[float]) -> Cell:
    with torch.no_grad():
        for own, values in zip(cell.weights, (input_weights, recurrent_weights, biases), strict=False):
            own.copy_(torch.tensor(values).view_as(own))
        cell.weights[3].zero_()
    return cell.double()


ONE, HALF = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 0.5, dtype=torch.float64)


def test_golden_elman() -> None:
    cell = of_one_number(ss.Elman(1, 1), [0.5], [2.0], [0.25])
    y, _ = cell.step(ONE, cell.condition(HALF))
    assert y.item() == pytest.approx(0.9413755384972874, abs=1e-12)  # tanh(0.5 + 1 + 0.25)


def test_golden_lstm() -> None:
    cell = of_one_number(ss.LSTM(1, 1), [0.0, 1.0, 0.5, 0.0], [0.0, 0.0, 1.0, 2.0], [0.0, -1.0, 0.0, -1.0])
    y, state = cell.step(ONE, cell.condition(torch.cat([HALF, 2 * ONE], dim=1)))
    # i = f = o = σ(0) = 1/2, g = tanh(1), so c = 2/2 + tanh(1)/2 and h = tanh(c)/2
    assert state.c.item() == pytest.approx(1.3807970779778824, abs=1e-12)
    assert y.item() == pytest.approx(0.4405648141721129, abs=1e-12)


def test_golden_gru() -> None:
    cell = of_one_number(ss.GRU(1, 1), [1.0, 0.0, 0.5], [-2.0, 0.0, 2.0], [0.0, math.log(3), 0.0])
    y, _ = cell.step(ONE, cell.condition(HALF))
    # r = σ(0) = 1/2, z = σ(log 3) = 3/4, n = tanh(0.5 + 1/2 · 1) = tanh(1), h = n/4 + 3/8
    assert y.item() == pytest.approx(0.25 * math.tanh(1) + 0.375, abs=1e-7)


@pytest.mark.parametrize("make", WITH_TWINS)
def test_first_weights(make: type[Cell]) -> None:
    torch.manual_seed(0)
    cell = make(5, 8)
    assert cell.weight_ih.shape == (cell.gates * 8, 5)
    for block in cell.weight_hh.split(8):
        torch.testing.assert_close(block @ block.T, torch.eye(8))
    bound = math.sqrt(6 / (5 + 8))
    largest = cell.weight_ih.abs().max().item()
    assert 0.9 * bound < largest <= bound
    biases = torch.stack([cell.bias_ih, cell.bias_hh])
    forget = slice(8, 16) if make is ss.LSTM else slice(0, 0)
    assert (biases[0, forget] == 1).all()  # 1 in all, not in each of the two biases
    biases[0, forget] = 0
    assert (biases == 0).all()


@pytest.mark.parametrize("make", WITH_TWINS)
def test_without_bias(make: type[Cell]) -> None:
    cell = make(3, 2, bias=False)
    assert [name for name, _ in cell.named_parameters()] == ["weight_ih", "weight_hh"]
    assert cell.step(torch.zeros(1, 3), cell.initial_state(1))[0].tolist() == [[0, 0]]
    assert repr(cell) == f"{make.__name__}(3, 2, bias=False)"


@pytest.mark.parametrize("make", WITH_TWINS)
@pytest.mark.parametrize(
    ("sizes", "name"), [((0, 2), "input_size"), ((3, -1), "hidden_size"), ((3, 2.0), "hidden_size")]
)
def test_wrong_sizes(make: type[Cell], sizes: tuple[int, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected a whole number of at least 1, got"):
        make(*sizes)


def test_wrong_nonlinearity() -> None:
    with pytest.raises(ValueError, match="nonlinearity: expected 'tanh' or 'relu', got 'sigmoid'"):
        ss.Elman(3, 2, "sigmoid")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("make", "module"),
    [
        (ss.Elman, nn.RNN),
        (lambda i, h, bias: ss.Elman(i, h, "relu", bias), lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k)),
        (ss.LSTM, nn.LSTM),
        (ss.GRU, nn.GRU),
    ],
)
@pytest.mark.parametrize("lengths", [[4, 4, 4], [2, 0, 4]])
def test_fused_scan_is_pytorchs(
    make: Callable[..., Cell], module: Callable[..., nn.RNNBase], bias: bool, lengths: list[int]
) -> None:
    torch.manual_seed(0)
    cell, other = make(3, 2, bias=bias).double(), module(3, 2, bias=bias, batch_first=True).double()
    for own, theirs in zip(cell.weights, other.parameters(), strict=True):
        own.data.copy_(nn.init.normal_(theirs.data))
    data = torch.randn(3, 4, 3, dtype=torch.float64)
    start = type(cell.initial_state(1))(*(torch.randn(3, 2, dtype=torch.float64) for _ in cell.initial_state(1)))
    outputs, final = cell(ss.Sequences(data, lengths), start)
    for row, length in enumerate(lengths):
        assert (outputs.data[row, length:] == 0).all()
        own = [leaf[row : row + 1] for leaf in start]
        if length:
            hidden = [leaf[None] for leaf in own]
            y, hidden = other(data[row : row + 1, :length], tuple(hidden) if len(hidden) > 1 else hidden[0])
            torch.testing.assert_close(outputs.data[row : row + 1, :length], y, rtol=0, atol=1e-12)
            own = [leaf[0] for leaf in (hidden if isinstance(hidden, tuple) else (hidden,))]
        for leaf, expected in zip(final, own, strict=True):
            torch.testing.assert_close(leaf[row : row + 1], expected, rtol=0, atol=1e-12)
