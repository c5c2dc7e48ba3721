"""The time and speed of a training."""

from __future__ import annotations

import time
from typing import Any

from stepscan.training.sharing import StepSums


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

    def add(self, sums: StepSums) -> None:
        """Count a batch."""
        new = {
            "loss": sums.loss,
            "count": sums.items,
            "sequences": sums.sequences,
            "tokens": sums.tokens,
            "places": sums.padded_tokens,
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
    """Seconds and batches since the start of a training.

    Where several processes train, its time is what `agree` was told last, so that all decide the same by it.

    Args:
        is_shared: whether several processes train.
    """

    def __init__(self, *, is_shared: bool = False) -> None:
        self._agreed: float | None = None
        super().__init__()
        self.step = 0  # batches
        self._agreed = 0.0 if is_shared else None

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self.elapsed if self._agreed is None else self._agreed

    @seconds.setter
    def seconds(self, seconds: float) -> None:
        self._started = time.perf_counter() - seconds
        self.agree(seconds)

    @property
    def elapsed(self) -> float:
        """Seconds since the start, by this process."""
        return time.perf_counter() - self._started

    def agree(self, seconds: float) -> None:
        """Set the time that all processes go by, where there are several."""
        if self._agreed is not None:
            self._agreed = seconds

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"seconds": self.seconds, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.seconds, self.step = state["seconds"], state["step"]
