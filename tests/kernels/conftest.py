"""Fixtures of the kernels' tests: the cells, and the instruction sets of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

import stepscan as ss
from stepscan.cells.cell import Cell
from stepscan.kernels.native import library

CELLS: dict[str, Callable[[int, int], Cell]] = {
    "elman": ss.Elman,
    "elman, relu": lambda i, h: ss.Elman(i, h, "relu"),
    "lstm": ss.LSTM,
    "lstm, no bias": lambda i, h: ss.LSTM(i, h, bias=False),
    "gru": ss.GRU,
    "gru, no bias": lambda i, h: ss.GRU(i, h, bias=False),
    "layer_norm_lstm": ss.LayerNormLSTM,
}
INSTRUCTION_SETS: list[str] = [] if library is None else library.instruction_sets()


@pytest.fixture(params=INSTRUCTION_SETS or [pytest.param("", marks=pytest.mark.skip("no native library"))])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set of this machine."""
    before = library.instruction_set()
    library.use_instruction_set(request.param)
    yield request.param
    library.use_instruction_set(before)


@pytest.fixture(params=CELLS)
def make(request: pytest.FixtureRequest) -> Callable[[int, int], Cell]:
    """A constructor of each cell, with random biases and gains."""

    def build(input_size: int, hidden_size: int) -> Cell:
        torch.manual_seed(input_size + 100 * hidden_size)
        cell = CELLS[request.param](input_size, hidden_size)
        with torch.no_grad():
            for weight in cell.weights:
                if weight.dim() == 1:
                    weight.add_(0.3 * torch.randn_like(weight))
        return cell

    return build
