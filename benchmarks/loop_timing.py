"""Interleaved timing of training loops in one process, for the comparisons with plain PyTorch scripts.

Machines are shared and their clocks drift, so that a ratio is the median of the ratios per round, never of medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

OURS = "stepscan"


def add_options(parser: argparse.ArgumentParser, batches: int, rounds: int) -> None:
    """Add the options --batches, --rounds and --threads."""
    parser.add_argument("--batches", type=int, default=batches)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=2)


def train_plain(
    model: nn.Module, optimiser: torch.optim.Optimizer, loss: Callable[[Any], Tensor], batches: Iterable[Any]
) -> None:
    """The training loop of a plain script, over the batches once; `loss` is the mean over a batch."""
    for batch in batches:
        optimiser.zero_grad(set_to_none=True)
        loss(batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def time_loops(
    loops: Mapping[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each loop in each round, alternating between them; one more round, the first, is the warm-up."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for i in range(rounds + 1):
        for name, run in loops.items():
            started = clock()
            run()
            if i:
                times[name].append(clock() - started)
    return times


def show(times: Mapping[str, list[float]], batches: int, tokens: int) -> None:
    """Print a line per loop: medians over rounds, and the median ratio of its time to ours in the same round."""
    for name, seconds in times.items():
        ratio = statistics.median(s / o for s, o in zip(seconds, times[OURS], strict=True))
        middle = statistics.median(seconds)
        speed = f"{1000 * middle / batches:6.1f} ms/batch  {tokens / middle:8,.0f} tokens/s"
        print(f"{name:<32} {speed}  {ratio:.2f}× our time")
