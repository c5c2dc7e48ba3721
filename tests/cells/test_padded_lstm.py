"""The LSTM's padded scan drives gates to exactly 0 and 1 in the padding: c and its gradients at each row's own end."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import stepscan as ss
from stepscan.cells.cell import scan_packed, scan_padded_lstm

LENGTHS = [7, 0, 1, 4, 12, 3]


def network() -> tuple[ss.LSTM, Tensor, ss.LSTM]:
    """An LSTM with weights so large that gates saturate by themselves too, and inputs."""
    torch.manual_seed(0)
    cell = ss.LSTM(3, 5)
    for weight in cell.weights:
        torch.nn.init.normal_(weight, std=1.5)
    return cell, torch.randn(len(LENGTHS), 12, 3), cell.condition(3 * torch.randn(len(LENGTHS), 10))


def folded(cell: ss.LSTM, data: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """h and c of every row after its own items, one step at a time."""
    ends = []
    for row, length in enumerate(LENGTHS):
        own = type(cell.initial_state(1))(*(leaf[row : row + 1] for leaf in state))
        for t in range(length):
            _, own = cell.step(data[row : row + 1, t], own)
        ends.append(own)
    return torch.cat([end.h for end in ends]), torch.cat([end.c for end in ends])


@torch.no_grad()
def test_final_state_is_that_of_the_steps() -> None:
    cell, data, start = network()
    _, (h, c) = scan_padded_lstm(ss.Sequences(data, LENGTHS).zeroed(), start.h, start.c, cell.weights)
    expected_h, expected_c = folded(cell, data, start)
    torch.testing.assert_close(c, expected_c, rtol=1e-6, atol=2e-6)
    torch.testing.assert_close(h, expected_h, rtol=1e-6, atol=2e-6)
    assert torch.equal(h[1], start.h[1])
    assert torch.equal(c[1], start.c[1])


@torch.no_grad()
def test_padding_changes_no_bit_of_c_however_long() -> None:
    cell, data, start = network()
    data = torch.nn.functional.pad(data, (0, 0, 0, 200))
    _, (_, far) = scan_padded_lstm(ss.Sequences(data, LENGTHS).zeroed(), start.h, start.c, cell.weights)
    lengths = [min(length + 1, 13) for length in LENGTHS]  # one item more: a zero, which is an item, not padding
    _, (_, other) = scan_padded_lstm(ss.Sequences(data, lengths).zeroed(), start.h, start.c, cell.weights)
    _, (_, near) = scan_padded_lstm(ss.Sequences(data[:, :13], LENGTHS).zeroed(), start.h, start.c, cell.weights)
    assert torch.equal(far, near)
    assert not torch.isclose(far, other).all(dim=1).any()


@pytest.mark.parametrize("leaf", ["h", "c"])
def test_gradients_are_those_of_the_packed_scan_and_of_the_steps(leaf: str) -> None:
    cell, data, start = network()
    weighting = torch.randn(len(LENGTHS), 5)
    gradients = []
    for run in ("padded", "packed", "steps"):
        x, h, c = (tensor.clone().requires_grad_() for tensor in (data, start.h, start.c))
        inputs = ss.Sequences(x, LENGTHS).zeroed()
        if run == "padded":
            _, final = scan_padded_lstm(inputs, h, c, cell.weights)
        elif run == "packed":
            _, final = scan_packed(torch.lstm, inputs, (h, c), cell.weights)
        else:
            final = folded(cell, x, (h, c))
        total = (weighting * final["hc".index(leaf)]).sum()
        gradients.append(torch.autograd.grad(total, [x, h, c, *cell.weights]))
    for padded, packed, stepped in zip(*gradients, strict=True):
        torch.testing.assert_close(padded, packed, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(padded, stepped, rtol=1e-4, atol=1e-5)
    assert (gradients[0][0][0, 7:] == 0).all()  # no gradient reaches the padding
    assert (gradients[0][1 if leaf == "h" else 2][1] == weighting[1]).all()  # and length 0 hands it on as it is
