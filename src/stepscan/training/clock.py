"""The time and speed of a training."""

from __future__ import annotations

import time
from typing import Any

from stepscan.data.batching import TrainingBatch


class Stopwatch:
    """Seconds since the start; `seconds` is set when a training is resumed."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._started = time.perf_counter() - seconds


class Meter(Stopwatch):
    """Running figures since the last evaluation: loss, speed and padding."""

    def __init__(self) -> None:
        super().__init__()
        self.sums = {"loss": 0.0, "count": 0, "sequences": 0, "tokens": 0, "places": 0}

    def add(self, batch: TrainingBatch, loss: float, count: int) -> None:
        """Count a batch, whose loss is the sum over `count` items."""
        new = {
            "loss": loss,
            "count": count,
            "sequences": batch.sequences,
            "tokens": batch.tokens,
            "places": batch.padded_tokens,
        }
        self.sums = {name: value + new[name] for name, value in self.sums.items()}

    def figures(self) -> dict[str, float]:
        """`loss` per item, `sequences_per_second`, `tokens_per_second`, and `padding`, the share of padded items."""
        seconds = max(self.seconds, 1e-9)
        return {
            "loss": self.sums["loss"] / max(self.sums["count"], 1),
            "sequences_per_second": self.sums["sequences"] / seconds,
            "tokens_per_second": self.sums["tokens"] / seconds,
            "padding": 1 - self.sums["tokens"] / max(self.sums["places"], 1),
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"seconds": self.seconds, "sums": self.sums}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.seconds, self.sums = state["seconds"], state["sums"]


class Clock(Stopwatch):
    """Seconds and batches since the start of a training."""

    def __init__(self) -> None:
        super().__init__()
        self.step = 0  # batches

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"seconds": self.seconds, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.seconds, self.step = state["seconds"], state["step"]
