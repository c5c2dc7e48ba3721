"""Watching gradients while a model trains: how far back they reach, how many updates are clipped, how gates stand.

A look costs what two or three updates cost. So the first comes with the hundredth update, or with the first evaluation
if that is earlier; each later one when all looks together, itself included, take 2 % of the time at most. A look draws
no random number and changes no weight: training ends in the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from torch import nn

from stepscan.data.batching import TrainingBatch
from stepscan.state import State
from stepscan.training.advice import explosion, vanishing
from stepscan.training.clipping import Clipped

SHARE = 0.02  # of the time since the start, that looks may take
FIRST = 100  # updates before the first look


class Blind:
    """Watches nothing. The interface of all watchers."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}  # plain data: what a checkpoint keeps

    def updated(self, clipped: Clipped) -> None:
        """After the gradients of an update were clipped."""

    def look(self, batch: TrainingBatch, state: State | None) -> None:
        """After an update: a batch, and the state that its loss began with."""

    def figures(self) -> dict[str, float]:
        """At an evaluation: numbers for its row, of all since the last one."""
        return {}

    def warnings(self) -> list[str]:
        """After `figures`: what they mean, if it is bad and was not said before."""
        return []


class Watcher(Blind):
    """Watches the gradients of a pattern's recurrences.

    The row of an evaluation then has `gradient_norm` (geometric mean, before clipping), `clipped` (share of updates)
    and, as means over the looks since the last evaluation (or those of the last look), what `glance` gives.

    Args:
        model: a pattern.
        clip_norm: for messages.
        clock: seconds.
        glance: one look: the model, a batch and a state → figures.
    """

    def __init__(
        self,
        model: nn.Module,
        clip_norm: float,
        clock: Callable[[], float] = time.perf_counter,
        glance: Callable[[Any, TrainingBatch, State | None], dict[str, float]] | None = None,
    ) -> None:
        super().__init__()
        if glance is None:
            from stepscan.training import glance as looking  # the inspection, which an unwatched training does without

            glance = looking.glance
        self.model, self.clip_norm, self.clock, self.glance = model, clip_norm, clock, glance
        self.started, self.spent, self.last = clock(), 0.0, 0.0  # spent: seconds in looks; last: in the last one
        self.updates = 0
        self.newest: tuple[TrainingBatch, State | None] | None = None
        self.latest: dict[str, float] = {}

    def updated(self, clipped: Clipped) -> None:
        sums = self.seen.setdefault("sums", {"updates": 0, "clipped": 0, "log_norm": 0.0})
        sums["updates"] += 1
        sums["clipped"] += int(clipped.clipped)
        sums["log_norm"] += math.log(max(clipped.norm, 1e-30))

    def look(self, batch: TrainingBatch, state: State | None) -> None:
        self.updates, self.newest = self.updates + 1, (batch, state)
        within = self.spent + self.last <= SHARE * (self.clock() - self.started)
        if within if self.last else self.updates >= FIRST:
            self._look(batch, state)

    def _look(self, batch: TrainingBatch, state: State | None) -> None:
        began = self.clock()
        self.seen.setdefault("looks", []).append(self.glance(self.model, batch, state))
        self.last = max(self.clock() - began, 1e-9)
        self.spent += self.last

    def figures(self) -> dict[str, float]:
        if self.newest is not None and not self.last:
            self._look(*self.newest)
        sums = self.seen.pop("sums", None)
        looks = self.seen.pop("looks", None) or self.seen.get("last", [])
        row: dict[str, float] = {}
        if sums is not None:
            row["gradient_norm"] = math.exp(sums["log_norm"] / sums["updates"])
            row["clipped"] = sums["clipped"] / sums["updates"]
        names = dict.fromkeys(name for one in looks for name in one)
        for name in names:
            found = [one[name] for one in looks if name in one]
            row[name] = sum(found) / len(found)
        self.latest, self.seen["last"] = row, looks[-1:]
        return row

    def warnings(self) -> list[str]:
        before, said = self.seen.get("norm"), self.seen.setdefault("said", [])
        found = {
            "vanish": vanishing(self.model, self.latest),
            "explode": explosion(self.model, self.latest, before, self.clip_norm),
        }
        self.seen["norm"] = self.latest.get("gradient_norm", before)
        new = {kind: text for kind, text in found.items() if text and kind not in said}
        said.extend(new)
        return list(new.values())
