"""When a cell that is a program runs natively: never otherwise than the loop, and differentiable as often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

import stepscan as ss
from stepscan.kernels import native, programs

pytestmark = pytest.mark.skipif(native.library is None, reason="the native library was not built")


def inputs(dtype: torch.dtype = torch.float32) -> ss.Sequences:
    torch.manual_seed(1)
    return ss.Sequences(torch.randn(4, 6, 5, dtype=dtype, requires_grad=True), torch.tensor([6, 2, 0, 5]))


def is_native(cell: ss.Recurrence, given: ss.Sequences) -> bool:
    return programs.scan(cell, given, cell.initial_state(4, dtype=given.data.dtype)) is not None


def test_which_inputs_run_natively() -> None:
    cell = ss.MinLSTM(5, 7)
    assert is_native(cell, inputs())
    with ss.kernels.use("reference"):
        assert not is_native(cell, inputs())
    assert not is_native(cell.double(), inputs(torch.float64))
    assert is_native(cell.float(), ss.Sequences(torch.randn(4, 6, 5), torch.zeros(4, dtype=torch.long)))


def test_first_and_second_derivatives_are_those_of_the_loop() -> None:
    cell = ss.RGLRU(5, 8)

    def derivatives(backend: str | None) -> list[torch.Tensor]:
        given = inputs()
        with ss.kernels.use(backend):
            outputs, final = cell.scan(given)
            total = outputs.data.pow(2).sum() + final[0].sin().sum()
            first = torch.autograd.grad(total, [given.data, *cell.parameters()], create_graph=True)
            second = torch.autograd.grad(first[0].pow(2).sum(), [given.data, *cell.parameters()], allow_unused=True)
        return [*first, *(gradient for gradient in second if gradient is not None)]

    for found, expected in zip(derivatives(None), derivatives("reference"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_changed_weights_are_seen() -> None:
    cell, given = ss.MinGRU(5, 7), inputs()
    with torch.no_grad():
        before = cell.scan(given)[0].data
        cell.bias.add_(1)
        after = cell.scan(given)[0].data
        with ss.kernels.use("reference"):
            torch.testing.assert_close(after, cell.scan(given)[0].data, rtol=1e-5, atol=1e-6)
    assert not torch.equal(before, after)


def test_a_default_dtype_of_bfloat16_changes_nothing() -> None:
    cell, given = ss.PeepholeLSTM(5, 7), inputs()
    expected = cell.scan(given)[0].data
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert torch.equal(cell.scan(given)[0].data, expected)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "cell", [ss.MinGRU(5, 7), ss.GRU(5, 7), ss.Bidirectional(ss.LSTM(5, 4), ss.GRU(5, 4))], ids=str
)
def test_derivatives_where_the_state_is_made_of_the_items(cell: ss.Layer) -> None:
    def derivatives(backend: str | None) -> list[torch.Tensor]:
        given = inputs()
        with ss.kernels.use(backend):
            _, state = cell.scan(given)
            outputs, _ = cell.scan(given, state)
            (first,) = torch.autograd.grad(outputs.data.pow(2).sum(), given.data, create_graph=True)
            (second,) = torch.autograd.grad(first.pow(2).sum(), given.data)
        return [first, second]

    for found, expected in zip(derivatives(None), derivatives("reference"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class LowRank(ss.Recurrence):
    """A weight that a step makes of two."""

    def __init__(self) -> None:
        super().__init__()
        self.input_size, self.output_size = 5, 7
        self.into = torch.nn.Linear(5, 7)
        self.left, self.right = torch.nn.Parameter(torch.randn(7, 2)), torch.nn.Parameter(torch.randn(2, 7))

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        return self.zeros(batch_size, 7, device, dtype)

    def step(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = torch.tanh(self.into(x) + torch.nn.functional.linear(state, self.left @ self.right))
        return h, h


@pytest.mark.parametrize("first", [False, True])
def test_autocast_changes_nothing(first: bool) -> None:
    cell, given = LowRank(), inputs()
    expected = None if first else cell.scan(given)[0].data
    with torch.autocast("cpu", torch.bfloat16):
        assert is_native(cell, given)
        found = cell.scan(given)[0].data
        found.sum().backward()
    assert cell.left.grad is not None
    assert cell.left.grad.isfinite().all()
    assert torch.equal(found, cell.scan(given)[0].data if expected is None else expected)


def test_threads_take_turns_at_one_graph() -> None:
    cell, given = ss.MinGRU(5, 7), inputs()
    loss = cell.scan(given)[0].data.pow(2).sum()

    def gradient() -> torch.Tensor:
        return torch.autograd.grad(loss, cell.weight_ih, retain_graph=True)[0]

    expected = gradient()
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(lambda _: gradient(), range(64)))


@pytest.mark.parametrize("cell", [ss.LSTM(3, 4), ss.MinGRU(3, 4)], ids=["kernels", "program"])
def test_what_a_scan_keeps_is_freed_by_the_last_backward_pass(cell: ss.Layer) -> None:
    y = cell.scan(ss.Sequences(torch.randn(2, 3, 3), torch.tensor([3, 2])))[0].data
    node: Any = y.grad_fn
    y.sum().backward(retain_graph=True)
    assert node.saved is not None
    y.sum().backward()
    assert node.saved is None
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.sum().backward()
