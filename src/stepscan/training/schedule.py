"""How long to train, at which learning rate: a rise, a stretch at the highest, a fall; the end need not be known."""

from __future__ import annotations

import math
from typing import Any

from stepscan.options import TrainingOptions
from stepscan.training.clock import Clock


class Schedule:
    """Warm-up, constant, decay (WSD: Hu et al. 2024; Hägele et al. 2024), over updates or over the time budget.

    The decay is half a cosine. It begins where it must in order to end with the budget, or before that, when
    `begin_decay` says so. With `decay_ratio=1` it begins after the warm-up: the cosine of Loshchilov & Hutter (2017).

    Args:
        settings: `warmup_ratio`, `decay_ratio` and `time_budget` of them.
        clock: of the training.
        limit: updates at most.
    """

    def __init__(self, settings: TrainingOptions, clock: Clock, limit: int) -> None:
        self.clock, self.limit, self.budget = clock, limit, settings.time_budget
        self.warmup, self.decay = settings.warmup_ratio, min(settings.decay_ratio, 1 - settings.warmup_ratio)
        self.updates = 0  # so far, those included that were given up again
        self.behind = 0  # that the weights have behind them
        self.span = (1 - self.decay, 1.0)  # the shares of the budget between which the rate falls
        self.length: int | None = None  # updates behind the weights at the end of an early decay

    @property
    def done(self) -> float:
        """Share of the budget, of updates or of time, whichever is further: 0 at the start, 1 at the end."""
        by_time = self.clock.seconds / self.budget if self.budget else 0.0
        return min(max(self.updates / self.limit, by_time), 1.0)

    @property
    def is_over(self) -> bool:
        return self.done >= self.span[1]

    @property
    def is_decaying(self) -> bool:
        return self.done >= self.span[0]

    def rate(self) -> float:
        """Share of the highest learning rate, for the next update."""
        done = self.done if self.budget else (self.updates + 1) / (self.limit + 1)
        if done < self.warmup:
            return done / self.warmup
        start, end = self.span
        return 0.5 * (1 + math.cos(math.pi * min(max((done - start) / max(end - start, 1e-9), 0.0), 1.0)))

    def begin_decay(self, behind: int) -> None:
        """Decay from now on, from weights that have so many updates: the last share `decay_ratio` of all."""
        steps = math.ceil(behind * self.decay / (1 - self.decay))
        an_update = self.done / self.updates  # of the budget
        self.span = (self.done, min(1.0, self.done + steps * an_update))
        self.behind, self.length = behind, behind + steps

    def plan(self) -> dict[str, float]:
        """The settings with which another training takes the way of these weights, to the end of its decay if that has
        begun."""
        rise = self.warmup * self.limit
        if not self.is_decaying:
            return {"max_updates": self.behind, "warmup_ratio": min(1.0, rise / self.behind), "decay_ratio": 0.0}
        total = self.length or max(1, round(self.behind / self.done))
        return {"max_updates": total, "warmup_ratio": min(1.0 - self.decay, rise / total), "decay_ratio": self.decay}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, as plain data."""
        return {"updates": self.updates, "behind": self.behind, "span": list(self.span), "length": self.length}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.updates, self.behind, self.length = state["updates"], state["behind"], state["length"]
        start, end = state["span"]
        self.span = (start, end)
