"""Interleaved timing of training loops in one process, for the comparisons with plain PyTorch scripts.

Machines are shared and their clocks drift, so that a ratio is the median of the ratios per round, never of medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from plain_models import PlainModel
from torch import nn

from stepscan.options import TrainingOptions
from stepscan.training.average import WeightAverage

OURS = "stepscan"


class PlainLoop:
    """The training loop of a plain script: AdamW, gradient clipping, a moving average of the weights.

    Args:
        model: its `loss` of a batch is the mean over the batch's items.
        settings: uses those of the optimiser and of the moving average.
    """

    def __init__(self, model: PlainModel, settings: TrainingOptions) -> None:
        self.model, self.max_norm, self.peak = model.train(), settings.max_grad_norm, settings.learning_rate
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=self.peak, fused=True)
        self.average = WeightAverage(model, settings.ema_decay)

    def update(self, batch: Any, rate: float = 1.0) -> None:
        """Train on a batch, at this factor of the peak learning rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * self.peak
        self.optimiser.zero_grad(set_to_none=True)
        self.model.loss(batch).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.optimiser.step()
        self.average.update()


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
