"""Gradient monitoring during training: how far back gradients reach, how many updates are clipped, how open gates are.

A probe costs as much as two or three updates. So the first one follows the hundredth update, or comes with the first
evaluation if that is earlier; a later one is made when all probes together, itself included, take at most 2 % of the
time. A probe draws no random number and changes no weight: training ends with the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from stepscan.data.batching import TrainingBatch
from stepscan.state import State
from stepscan.training.clipping import Clipping
from stepscan.training.gradient_probe import probe as probe_model
from stepscan.training.gradient_warnings import explosion_warning, vanishing_warning

MAX_SHARE = 0.02  # of the time since the start, for all probes together
FIRST_PROBE = 100  # updates before it


class Monitor:
    """The hooks that the training loop calls. In this base class they do nothing."""

    def on_clip(self, clipping: Clipping) -> None:
        """Called when the gradients of an update have been clipped."""

    def on_update(self, batch: TrainingBatch, state: State | None) -> None:
        """Called after an update, with its last batch and the initial state of that batch's loss."""

    def metrics(self) -> dict[str, float]:
        """Called at an evaluation: the metrics since the last evaluation, for its row of the training curve."""
        return {}

    def warnings(self) -> list[str]:
        """Called after `metrics`: warnings about them, each kind once per training."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint stores: plain data."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""


@dataclass
class _UpdateSums:
    """Sums over the updates since the last evaluation."""

    updates: int = 0
    clipped: int = 0
    log_norm: float = 0.0


class GradientMonitor(Monitor):
    """Monitors the gradients of a pattern's recurrences.

    The metrics are `gradient_norm` (geometric mean over updates, before clipping), `clipped` (fraction of updates) and
    the means of what `stepscan.training.gradient_probe.probe` returned since the last evaluation (or last returned).

    Args:
        model: a pattern.
        max_grad_norm: the setting, for warnings.
        clock: the time, in seconds.
        probe: model, batch, initial state → figures by name.
    """

    def __init__(
        self,
        model: nn.Module,
        max_grad_norm: float,
        clock: Callable[[], float] = time.perf_counter,
        probe: Callable[[Any, TrainingBatch, State | None], dict[str, float]] = probe_model,
    ) -> None:
        self.model, self.max_grad_norm, self.clock, self.probe = model, max_grad_norm, clock, probe
        self.started, self.probe_seconds, self.last_probe_seconds = clock(), 0.0, 0.0
        self.updates = 0  # in this process
        self.newest: tuple[TrainingBatch, State | None] | None = None  # the arguments of the last `on_update`
        self.row: dict[str, float] = {}  # what `metrics` last returned
        self.sums = _UpdateSums()
        self.probes: list[dict[str, float]] = []  # results since the last evaluation
        self.last_probe: list[dict[str, float]] = []  # the last result before it, if any
        self.previous_norm: float | None = None  # `gradient_norm` at the last evaluation
        self.warned: list[str] = []  # kinds of warnings given

    def on_clip(self, clipping: Clipping) -> None:
        self.sums.updates += 1
        self.sums.clipped += int(clipping.is_clipped)
        self.sums.log_norm += math.log(max(clipping.norm, 1e-30))

    def on_update(self, batch: TrainingBatch, state: State | None) -> None:
        self.updates, self.newest = self.updates + 1, (batch, state)
        is_cheap = self.probe_seconds + self.last_probe_seconds <= MAX_SHARE * (self.clock() - self.started)
        if is_cheap if self.last_probe_seconds else self.updates >= FIRST_PROBE:
            self._probe(batch, state)

    def _probe(self, batch: TrainingBatch, state: State | None) -> None:
        start = self.clock()
        self.probes.append(self.probe(self.model, batch, state))
        self.last_probe_seconds = max(self.clock() - start, 1e-9)
        self.probe_seconds += self.last_probe_seconds

    def metrics(self) -> dict[str, float]:
        if self.newest is not None and not self.last_probe_seconds:
            self._probe(*self.newest)
        sums, probes = self.sums, self.probes or self.last_probe
        row: dict[str, float] = {}
        if sums.updates:
            row["gradient_norm"] = math.exp(sums.log_norm / sums.updates)
            row["clipped"] = sums.clipped / sums.updates
        for name in dict.fromkeys(name for result in probes for name in result):
            values = [result[name] for result in probes if name in result]
            row[name] = sum(values) / len(values)
        self.row, self.sums, self.probes, self.last_probe = row, _UpdateSums(), [], probes[-1:]
        return row

    def warnings(self) -> list[str]:
        texts = {
            "vanish": vanishing_warning(self.model, self.row),
            "explode": explosion_warning(self.model, self.row, self.previous_norm, self.max_grad_norm),
        }
        self.previous_norm = self.row.get("gradient_norm", self.previous_norm)
        new = {kind: text for kind, text in texts.items() if text and kind not in self.warned}
        self.warned.extend(new)
        return list(new.values())

    def state_dict(self) -> dict[str, Any]:
        return {
            "sums": asdict(self.sums),
            "looks": self.probes,
            "last": self.last_probe,
            "norm": self.previous_norm,
            "said": self.warned,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = _UpdateSums(**state.get("sums", {}))
        self.probes, self.last_probe = state.get("looks", []), state.get("last", [])
        self.previous_norm, self.warned = state.get("norm"), state.get("said", [])
