"""How long, how far, how fast: what training measures of itself."""

from __future__ import annotations

import math
import time

from stepscan.data.batching import Batch
from stepscan.training.settings import TrainingSettings


class Stopwatch:
    """Seconds since the start; set where training goes on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._started = time.perf_counter() - seconds


class Meter(Stopwatch):
    """Running figures of the stretch since the last evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.sums = {"loss": 0.0, "count": 0, "sequences": 0, "tokens": 0, "places": 0}

    def add(self, batch: Batch, loss: float, count: int) -> None:
        new = {
            "loss": loss,
            "count": count,
            "sequences": batch.sequences,
            "tokens": batch.tokens,
            "places": batch.places,
        }
        self.sums = {name: value + new[name] for name, value in self.sums.items()}

    def figures(self) -> dict[str, float]:
        seconds = max(self.seconds, 1e-9)
        return {
            "loss": self.sums["loss"] / max(self.sums["count"], 1),
            "sequences_per_second": self.sums["sequences"] / seconds,
            "tokens_per_second": self.sums["tokens"] / seconds,
            "padding": 1 - self.sums["tokens"] / max(self.sums["places"], 1),
        }


class Clock(Stopwatch):
    """How far training is: by steps, or by the time budget where that is further."""

    def __init__(self, settings: TrainingSettings, steps: int) -> None:
        super().__init__()
        self.budget, self.steps, self.warmup = settings.time_budget, steps, settings.warmup
        self.step = 0

    @property
    def done(self) -> float:
        """0 at the start, 1 at the end."""
        by_time = self.seconds / self.budget if self.budget else 0.0
        return min(max(self.step / self.steps, by_time), 1.0)

    @property
    def is_out_of_time(self) -> bool:
        return self.budget is not None and self.seconds >= self.budget

    def rate(self) -> float:
        """Share of the highest learning rate: a linear rise, then half a cosine to 0 (Loshchilov & Hutter 2017)."""
        done = self.done if self.budget else (self.step + 1) / (self.steps + 1)
        if done < self.warmup:
            return done / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / max(1 - self.warmup, 1e-9)))
