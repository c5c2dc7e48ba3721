"""The contract's own methods: the free scan, conditions, errors of unfinished layers, old states kept."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

import stepscan as ss
from stepscan import kernels
from stepscan.backends import tensors
from stepscan.definitions.layer import keep_old_where_ended
from stepscan.state import State, leaves


class SumState(NamedTuple):
    total: Tensor  # [B, 1]
    seen: Tensor  # [B], integers
    grid: Tensor  # [B, 2, 2], beside the point: for `condition` to cut


class Sum(ss.Recurrence):
    """y_t = x_1 + … + x_t, and counts."""

    input_size = output_size = 1

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> SumState:
        total = self.zeros(batch_size, 1, device, dtype)
        seen = torch.zeros(batch_size, dtype=torch.long, device=device)
        return SumState(total, seen, total.new_zeros(batch_size, 2, 2))

    def step(self, x: Tensor, state: SumState) -> tuple[Tensor, SumState]:
        total = state.total + x
        return total, state._replace(total=total, seen=state.seen + 1)


def numbers(*rows: list[float], padding: float = 0.0) -> ss.Sequences:
    longest = max(len(row) for row in rows)
    data = torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
    return ss.Sequences(data[:, :, None], [len(row) for row in rows])


def test_free_scan() -> None:
    outputs, state = Sum().scan(numbers([1, 2, 3], [], [10, 20], padding=float("nan")))
    assert outputs.data[:, :, 0].tolist() == [[1, 3, 6], [0, 0, 0], [10, 30, 0]]
    assert outputs.lengths.tolist() == [3, 0, 2]
    assert state.total.tolist() == [[6], [0], [30]]
    assert state.seen.tolist() == [3, 0, 2]


def test_free_scan_goes_on_from_a_state() -> None:
    _, middle = Sum().scan(numbers([1, 2], [10]))
    outputs, state = Sum().scan(numbers([], [5]), middle)
    assert outputs.data[:, :, 0].tolist() == [[0], [15]]
    assert state.total.tolist() == [[3], [15]]
    assert state.seen.tolist() == [2, 2]


@pytest.mark.parametrize(("rows", "steps"), [(0, 3), (2, 0), (0, 0)])
def test_free_scan_of_nothing(rows: int, steps: int) -> None:
    outputs, state = Sum().scan(ss.Sequences(torch.ones(rows, steps, 1), [0] * rows))
    assert outputs.data.shape == (rows, steps, 1)
    assert state.seen.tolist() == [0] * rows


def test_forward_is_scan() -> None:
    cell, inputs = ss.GRU(2, 3), ss.Sequences(torch.ones(1, 2, 2), [2])
    assert torch.equal(cell(inputs)[0].data, cell.scan(inputs)[0].data)
    assert torch.equal(cell(inputs)[1].h, cell.scan(inputs)[1].h)


def test_condition_cuts_floating_point_leaves_in_order() -> None:
    cell = Sum()
    assert cell.condition_size == 5
    state = cell.condition(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]]))
    assert state.total.tolist() == [[1], [6]]
    assert state.seen.tolist() == [0, 0]
    assert state.grid.tolist() == [[[2, 3], [4, 5]], [[7, 8], [9, 10]]]


def test_condition_of_built_in_layers() -> None:
    vector = torch.arange(5.0)[None]
    stack = ss.Stack(
        [ss.LSTM(2, 1), ss.Dropout(1, 0.5), ss.VariationalDropout(1, 0.5), ss.Residual(ss.GRU(1, 1)), ss.GRU(1, 2)]
    )
    assert stack.condition_size == 5
    lstm, dropout, variational, residual, gru = stack.eval().condition(vector)
    assert [leaf.tolist() for leaf in lstm] == [[[0.0]], [[1.0]]]
    assert dropout.tolist() == [[0.0]]
    assert [leaf.tolist() for leaf in variational] == [[[0.0]], [[1.0]]]  # y, and a mask that is not for conditioning
    assert [leaf.tolist() for leaf in leaves(residual)] == [[[2.0]], [[0.0]]]
    assert gru.h.tolist() == [[3.0, 4.0]]


def test_condition_passes_gradients_and_takes_no_rows() -> None:
    vector = torch.ones(2, 4, requires_grad=True)
    state = ss.LSTM(3, 2).condition(vector)
    (2 * state.h + 3 * state.c).sum().backward()
    assert vector.grad is not None
    assert vector.grad.tolist() == [[2, 2, 3, 3]] * 2
    assert [leaf.shape for leaf in ss.LSTM(3, 2).condition(torch.ones(0, 4))] == [(0, 2), (0, 2)]


@pytest.mark.parametrize("shape", [(2, 3), (4,), (1, 2, 4)])
@pytest.mark.parametrize(
    "layer", [ss.LSTM(3, 2), ss.Stack([ss.LSTM(3, 2), ss.Linear(2, 2)]), ss.Residual(ss.LSTM(2, 2))], ids=str
)
def test_condition_of_another_size_is_an_error(layer: ss.Recurrence, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected a condition \[B, 4\], got \[") as caught:
        layer.condition(torch.zeros(*shape))
    assert str(list(shape)) in str(caught.value)


def test_wrong_inputs_are_refused_with_the_layers_name() -> None:
    words = r"LSTM\(3 → 2\): expected inputs \[B, T, 3\], got \[1, 4, 5\]; check the size of the layer or embedding"
    with pytest.raises(ValueError, match=words):
        ss.LSTM(3, 2).scan(ss.Sequences(torch.zeros(1, 4, 5), [4]))
    with pytest.raises(ValueError, match=r"expected inputs \[B, T, 3\], got \[1, 3\]"):
        ss.Stack([ss.Linear(3, 2)]).scan(ss.Sequences(torch.zeros(1, 3), [3]))


def test_unfinished_layers_say_what_is_missing() -> None:
    class Half(ss.Recurrence):
        input_size = output_size = 1

    class Point(ss.Pointwise):
        input_size = output_size = 1

    with pytest.raises(NotImplementedError, match=r"Half: expected an initial_state\(batch_size, \*, device, dtype\)"):
        Half().scan(numbers([1.0]))
    with pytest.raises(NotImplementedError, match=r"Half: expected a step\(x, state\)"):
        Half().step(torch.ones(1, 1), ())
    with pytest.raises(NotImplementedError, match=r"Point: expected a transform\(x\)"):
        Point().scan(numbers([1.0]))
    with pytest.raises(NotImplementedError, match=r"Layer: expected a scan\(inputs, state\)"):
        ss.Layer().scan(numbers([1.0]))


def test_the_free_scan_takes_its_steps_apart_once() -> None:
    """A slice each step has a gradient as large as the whole input: backward would be quadratic in T."""

    class Sum(ss.Recurrence):
        input_size = output_size = 1

        def initial_state(self, batch_size, *, device=None, dtype=None):
            return self.zeros(batch_size, 1, device, dtype)

        def step(self, x, state):
            return x + state, x + state

    data = torch.ones(1, 8, 1, requires_grad=True)
    with kernels.use("reference"):
        outputs, _ = Sum().scan(ss.Sequences(data, [8]))
    assert outputs.data.flatten().tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    nodes, kinds = [outputs.data.grad_fn], []
    while nodes:
        node = nodes.pop()
        kinds.append(type(node).__name__)
        nodes += [following for following, _ in node.next_functions if following is not None]
    assert "UnbindBackward0" in kinds
    assert not {"SelectBackward0", "SliceBackward0"} & set(kinds)
    outputs.data.sum().backward()
    assert data.grad.flatten().tolist() == [8, 7, 6, 5, 4, 3, 2, 1]


def test_pointwise() -> None:
    class Double(ss.Pointwise):
        input_size = output_size = 1

        def transform(self, x: Tensor, state: State | None = None) -> Tensor:
            return 2 * x

    outputs, state = Double().scan(numbers([1, 2], []), torch.tensor([[7.0], [8.0]]))
    assert outputs.data[:, :, 0].tolist() == [[2, 4], [0, 0]]
    assert state.tolist() == [[4], [8]]
    assert Double().readout(state).tolist() == [[4], [8]]
    assert Double().condition_size == 0
    assert Double().condition(torch.zeros(2, 0)).tolist() == [[0], [0]]


def test_keep_old_where_ended_chooses_so_that_nan_stays_out() -> None:
    new = (torch.tensor([[1.0], [float("nan")]]), torch.tensor([3, 4]))
    old = (torch.tensor([[5.0], [6.0]]), torch.tensor([7, 8]))
    kept = keep_old_where_ended(tensors, torch.tensor([True, False]), new, old)
    assert [leaf.tolist() for leaf in kept] == [[[1.0], [6.0]], [3, 8]]


def test_zeros_follow_the_parameters_unless_told_otherwise() -> None:
    cell = ss.GRU(2, 3).double()
    assert cell.initial_state(2).h.dtype == torch.float64
    assert cell.initial_state(2, dtype=torch.float32).h.dtype == torch.float32
    assert ss.Dropout(3, 0.5).initial_state(2, dtype=torch.float64).dtype == torch.float64
