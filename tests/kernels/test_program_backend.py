"""When a cell that is a program runs natively: never otherwise than the loop, and differentiable as often."""

from __future__ import annotations

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
    assert not is_native(cell.float(), ss.Sequences(torch.randn(4, 6, 5), torch.zeros(4, dtype=torch.long)))


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
