"""How long and how fast: what training measures of itself."""

from __future__ import annotations

import time

from stepscan.data.batching import TrainingBatch


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

    def add(self, batch: TrainingBatch, loss: float, count: int) -> None:
        new = {
            "loss": loss,
            "count": count,
            "sequences": batch.sequences,
            "tokens": batch.tokens,
            "places": batch.padded_tokens,
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
    """Seconds and batches since the start."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0
