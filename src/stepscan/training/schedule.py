"""The length of a training and its learning rate: warm-up, constant, decay; the length need not be known in advance."""

from __future__ import annotations

import math
from typing import Any

from stepscan.options import TrainingOptions
from stepscan.training.clock import Clock


class Schedule:
    """Warm-up, constant, decay (WSD: Hu et al. 2024; Hägele et al. 2024), over updates or over the time budget.

    The decay is half a cosine that ends with the budget, or earlier after a call of `begin_decay`. With `decay_ratio=1`
    it begins after the warm-up: the cosine schedule of Loshchilov & Hutter (2017).

    Args:
        settings: uses `warmup_ratio`, `decay_ratio` and `time_budget`.
        clock: of the training.
        limit: maximum number of updates.
    """

    def __init__(self, settings: TrainingOptions, clock: Clock, limit: int) -> None:
        self.clock, self.limit, self.budget = clock, limit, settings.time_budget
        self.warmup, self.decay = settings.warmup_ratio, min(settings.decay_ratio, 1 - settings.warmup_ratio)
        self.updates = 0  # so far, discarded ones included
        self.behind = 0  # updates of the weights, without discarded ones
        self.span = (1 - self.decay, 1.0)  # start and end of the decay, as shares of the budget
        self.length: int | None = None  # updates of the weights at the end of an early decay

    @property
    def done(self) -> float:
        """Used share of the budget, of updates or of time, whichever is larger: 0 at the start, 1 at the end."""
        by_time = self.clock.seconds / self.budget if self.budget else 0.0
        return min(max(self.updates / self.limit, by_time), 1.0)

    @property
    def is_over(self) -> bool:
        """Whether the decay has ended."""
        return self.done >= self.span[1]

    @property
    def is_decaying(self) -> bool:
        """Whether the decay has begun."""
        return self.done >= self.span[0]

    def rate(self) -> float:
        """Factor of the peak learning rate, for the next update."""
        done = self.done if self.budget else (self.updates + 1) / (self.limit + 1)
        if done < self.warmup:
            return done / self.warmup
        start, end = self.span
        return 0.5 * (1 + math.cos(math.pi * min(max((done - start) / max(end - start, 1e-9), 0.0), 1.0)))

    def begin_decay(self, behind: int) -> None:
        """Begin the decay now, which then takes the share `decay_ratio` of all updates of the weights.

        Args:
            behind: updates of the weights so far.
        """
        steps = math.ceil(behind * self.decay / (1 - self.decay))
        budget_per_update = self.done / self.updates
        self.span = (self.done, min(1.0, self.done + steps * budget_per_update))
        self.behind, self.length = behind, behind + steps

    def plan(self) -> dict[str, float]:
        """The settings of another training with the schedule of these weights, to the end of the decay if that has
        begun."""
        warmup = self.warmup * self.limit
        if not self.is_decaying:
            return {"max_updates": self.behind, "warmup_ratio": min(1.0, warmup / self.behind), "decay_ratio": 0.0}
        total = self.length or max(1, round(self.behind / self.done))
        return {"max_updates": total, "warmup_ratio": min(1.0 - self.decay, warmup / total), "decay_ratio": self.decay}

    def state_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return {"updates": self.updates, "behind": self.behind, "span": list(self.span), "length": self.length}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.updates, self.behind, self.length = state["updates"], state["behind"], state["length"]
        start, end = state["span"]
        self.span = (start, end)
