"""Training loops that take turns in one process: what the comparisons with plain PyTorch scripts have in common.

Machines are shared and their clocks drift, so a ratio is the median of the ratios of each round, never one of medians.
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
    """How long to measure, with these defaults, and on how many threads."""
    parser.add_argument("--batches", type=int, default=batches)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=2)


def train_plainly(
    model: nn.Module, optimiser: torch.optim.Optimizer, loss: Callable[[Any], Tensor], batches: Iterable[Any]
) -> None:
    """The loop of a plain script, over the batches once; `loss` is the mean of a batch."""
    for batch in batches:
        optimiser.zero_grad(set_to_none=True)
        loss(batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def take_turns(rivals: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each rival in each round; a round before the first warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(rounds + 1):
        for name, run in rivals.items():
            started = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - started)
    return times


def show(times: Mapping[str, list[float]], batches: int, tokens: int) -> None:
    """One line a rival: medians of its rounds, and the median of its time over ours in the same round."""
    for name, seconds in times.items():
        ratio = statistics.median(s / o for s, o in zip(seconds, times[OURS], strict=True))
        middle = statistics.median(seconds)
        speed = f"{1000 * middle / batches:6.1f} ms a batch  {tokens / middle:8,.0f} tokens/s"
        print(f"{name:<32} {speed}  {ratio:.2f}× our time")
