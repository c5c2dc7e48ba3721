"""`stepscan bench sizes`: training time against length, batch and hidden size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from stepscan.benchmarks.scans import CELLS, lengths_of_text, training
from stepscan.benchmarks.timing import Benchmark, Result
from stepscan.cells.cell import Cell

LENGTHS, BATCHES, WIDTHS = (64, 256, 1024, 4096), (1, 4, 16, 64, 256), (16, 32, 48, 64, 100, 128, 200, 256, 512, 1024)


def size_benchmarks(threads: int, rounds: int) -> Iterator[Benchmark]:
    """`stepscan bench sizes`: LSTM, GRU and Elman; a benchmark's name gives the cell, H, B and T."""
    for name, make in CELLS.items():
        shapes = [(64, 8, steps) for steps in LENGTHS]
        shapes += [(128, batch, 64) for batch in BATCHES] + [(width, 32, 32) for width in WIDTHS]
        for width, batch, steps in shapes:
            title = f"{name} H={width} B={batch} T={steps}"
            yield Benchmark(title, functools.partial(_train, title, make, width, batch, steps, rounds))


def _train(name: str, make: Callable[[int, int], Cell], width: int, batch: int, steps: int, rounds: int) -> Result:
    return training(name, make(width, width), lengths_of_text(batch, steps), rounds)
