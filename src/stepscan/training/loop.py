"""The training loop, the same for every pattern and every cell."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stepscan.data.batching import TrainingBatch
from stepscan.errors import StepscanError
from stepscan.memory import enough_memory
from stepscan.options import TrainingOptions
from stepscan.state import State, leaves, map_state
from stepscan.training.average import WeightAverage
from stepscan.training.checkpointing import Checkpointer
from stepscan.training.clipping import clip_gradients
from stepscan.training.clock import Clock, Meter
from stepscan.training.gradient_monitor import GradientMonitor, Monitor
from stepscan.training.optimiser import AdamW
from stepscan.training.progress import Reporter
from stepscan.training.schedule import Schedule
from stepscan.training.tensorboard import Curve

FIRST = 25  # updates between two evaluations, at least
GROWTH = 8  # an evaluation follows another when the updates have grown by one eighth
PATIENCE = 6  # evaluations, unless it is set: the updates have then doubled since the best score
LEAST = 400  # updates before which, unless patience is set, no score ends anything: they say little
_ENDLESS = 2**31 - 1
_PROGRESS = (  # plain values of a trainer that say how far it is
    *("epoch", "batch", "judged_at", "is_stale", "history", "evaluations_since_best"),
)
_ADVICE = "take a smaller batch_size (and accumulate batches), or split the longest sequences"


@dataclass
class Task:
    """What is trained, on what, and how it is judged."""

    model: nn.Module  # a pattern: `loss(inputs, targets, state)` gives a `Loss`
    batches: Callable[[int], Iterable[TrainingBatch]]  # of an epoch, counted from 0
    batches_per_epoch: int
    evaluate: Callable[[], dict[str, float]] | None  # scores on the validation data; the first one decides
    greater_is_better: bool
    items_per_batch: float = 1.0  # on average
    evaluation_cost: int = 1  # updates that take as long as an evaluation, and some


@dataclass
class Kept:
    """The best weights so far, and what it takes to train on from them."""

    score: float
    weights: dict[str, Tensor]  # that were judged: of the average, where there is one
    plan: dict[str, float]  # see `Schedule.plan`
    behind: int
    model: dict[str, Tensor]
    optimiser: dict[str, Any]


class Trainer:
    """One training: the optimiser, the schedule, the best weights so far and the curve.

    An evaluation comes when the updates have grown by an eighth since the last (where `epochs` is set, with the end of
    that epoch), so that a training of 50 updates and one of 5,000,000 both have some tens of them. When the score has
    not improved for `patience` evaluations, training goes back to the best weights and the learning rate falls from
    there; a time budget is used to its end.

    Args:
        task, settings: what to train, and how.
        reporter: who is told.
        identity: what must be the same for an interrupted training to go on; see `Checkpointer`.
        earlier: the results of the stages before this one, of a training in several.
        begins: whether it is the first that this process runs, and so may find checkpoints.
        is_short: whether it begins anew where an interrupted training goes on.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainingOptions,
        reporter: Reporter,
        identity: dict[str, Any] | None = None,
        earlier: Sequence[dict[str, Any]] = (),
        *,
        begins: bool = True,
        is_short: bool = False,
    ) -> None:
        self.task, self.settings, self.reporter, self.earlier = task, settings, reporter, list(earlier)
        self.checkpointer = Checkpointer(settings, identity or {}, begins=begins, is_short=is_short)
        self.optimiser = AdamW(task.model, settings)
        self.average = WeightAverage(task.model, settings.ema_decay)
        self.clock = Clock()
        self.schedule = Schedule(settings, self.clock, limit(settings, task.batches_per_epoch))
        self.monitor = GradientMonitor(task.model, settings.max_grad_norm) if settings.monitor_gradients else Monitor()
        self.curve = Curve(settings.tensorboard)
        self.history: list[dict[str, Any]] = []
        self.best: Kept | None = None
        self.evaluations_since_best = 0
        self.is_stale = False  # whether the score stopped rising, and the decay began
        self.judged_at = 0  # updates at the last evaluation
        self.meter = Meter()
        self._begin_epoch(0)

    def run(self) -> list[dict[str, Any]]:
        """Train to the end, put the best weights back and return the curve: one row an evaluation."""
        try:
            with self.checkpointer:
                self.checkpointer.restore(self)
                while not self._is_over:
                    self._run_epoch()
            if self.settings.time_budget and self.clock.seconds >= self.settings.time_budget:
                self.reporter.note("the time budget is used up")
        finally:
            self.reporter.close()
            self.curve.close()
        if self.best is not None:
            self.task.model.load_state_dict(self.best.weights)
        self.task.model.eval()
        return self.history

    @property
    def plan(self) -> dict[str, float]:
        """With which settings another training takes the way of the best weights; see `Schedule.plan`. Where patience
        ended this one within its decay, as many updates as these weights have behind them: the rest was never seen."""
        if self.best is None or self.schedule.is_over:
            return {} if self.best is None else self.best.plan
        rise = self.best.plan["warmup_ratio"] * self.best.plan["max_updates"]
        return {**self.best.plan, "max_updates": self.best.behind, "warmup_ratio": min(1.0, rise / self.best.behind)}

    @property
    def _is_over(self) -> bool:
        """Whether the last evaluation was the last."""
        if not self.history or self.judged_at != self.schedule.updates:
            return False
        stopped = self._patience_is_over and self.schedule.is_decaying and not self.is_stale
        return self.schedule.is_over or stopped

    @property
    def _patience_is_over(self) -> bool:
        if self.task.evaluate is None:
            return False  # there is no score to wait for
        if self.settings.patience is not None:
            return self.evaluations_since_best >= self.settings.patience
        is_long_enough = self.schedule.updates >= LEAST and not self.settings.time_budget
        return is_long_enough and self.evaluations_since_best >= PATIENCE

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self.batch = epoch, 0  # batch: the number of the next one
        self.carried: State | None = None
        self.items = 0  # that the gradients so far are summed over

    def _run_epoch(self) -> None:
        """The rest of a pass, or what of it the budget leaves."""
        for batch in itertools.islice(self.task.batches(self.epoch), self.batch, None):
            self.task.model.train()
            size = f"a batch of {batch.sequences:,} sequences, {batch.padded_tokens:,} items with padding"
            with enough_memory(size, _ADVICE):
                self._step(batch.to(self.settings.device))
            self.reporter.step(self.schedule.done, self.meter.figures())
            if self.items == 0:  # after an update
                self._look_back()
                if self._is_over:
                    return
        self._begin_epoch(self.epoch + 1)

    def _look_back(self) -> None:
        """After an update: evaluate, turn back, write a checkpoint, each if it is due."""
        is_due = self._is_due
        if is_due:
            self._evaluate()
            if self._patience_is_over and not self.schedule.is_decaying:
                self._turn_back()
        self.checkpointer.maybe_save(self, now=is_due)

    @property
    def _is_due(self) -> bool:
        since = self.schedule.updates - self.judged_at
        if self.schedule.is_over:
            return True
        if self.settings.epochs is not None:
            return self.batch == self.task.batches_per_epoch and since >= self.judged_at / GROWTH
        return since >= max(self.judged_at / GROWTH, self.task.evaluation_cost, FIRST)

    def _turn_back(self) -> None:
        """Go back to the best weights; from them on the learning rate falls."""
        assert self.best is not None
        self.is_stale, self.evaluations_since_best = True, 0
        self.task.model.load_state_dict(self.best.model)
        self.optimiser.load_state_dict(self.best.optimiser)
        self.average.restart(self.best.weights)
        self.schedule.begin_decay(self.best.behind)

    def _step(self, batch: TrainingBatch) -> None:
        """Gradients of a batch, and an update if enough batches are gathered."""
        seed_noise(self.settings.seed, self.clock.step)
        model: Any = self.task.model
        total, count, state = model.loss(batch.inputs, batch.targets, self.carried)
        loss = total.item()
        self._check_finite("loss", loss / max(count, 1))
        if self.items == 0:
            self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.items += count
        self.batch += 1
        if self.batch % self.settings.gradient_accumulation_steps == 0 or self.batch == self.task.batches_per_epoch:
            self._update()
            self.monitor.on_update(batch, self.carried)
        self.carried = None if state is None else model.detach_state(state)
        self.clock.step += 1
        self.meter.add(batch, loss, count)

    def _update(self) -> None:
        self.optimiser.learning_rate = self.settings.learning_rate * self.schedule.rate()
        parameters = self.task.model.named_parameters()
        gradients = {name: p.grad for name, p in parameters if p.grad is not None}
        norm = (nn.utils.get_total_norm(gradients.values()) / max(self.items, 1)).item()
        if not math.isfinite(norm):
            for name, gradient in gradients.items():
                self._check_finite(f"gradient of {name}", gradient.norm().item())
            self._check_finite("norm of all gradients together", norm)
        self.monitor.on_clip(clip_gradients(list(gradients.values()), norm, self.items, self.settings))
        self.optimiser.step()
        self.average.update()
        self.schedule.updates += 1
        self.schedule.behind += 1
        self.items = 0

    def state_dict(self) -> dict[str, Any]:
        """All that is not in its settings and data: nested, of tensors and plain values."""
        carried = [] if self.carried is None else list(leaves(self.carried))
        return {
            **{name: part.state_dict() for name, part in self._parts.items()},
            "best": None if self.best is None else vars(self.best),
            "carried": {str(i): leaf for i, leaf in enumerate(carried)},
            **{name: getattr(self, name) for name in _PROGRESS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`, of a trainer that was made from the same settings and data."""
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        if state["best"] is not None:
            self.best = Kept(**state["best"])
        if carried := [state["carried"][str(i)] for i in range(len(state["carried"]))]:
            model: Any = self.task.model
            values = iter(carried)
            self.carried = map_state(lambda leaf: next(values), model.initial_state(len(carried[0])))
        for name in _PROGRESS:
            setattr(self, name, state[name])

    @property
    def _parts(self) -> dict[str, Any]:
        """What has a `state_dict` of its own."""
        return {
            "model": self.task.model,
            "optimiser": self.optimiser,
            "average": self.average,
            "clock": self.clock,
            "schedule": self.schedule,
            "meter": self.meter,
            "monitor": self.monitor,
        }

    def check_weights(self) -> None:
        """Raise if a weight is not finite."""
        for name, tensor in self.task.model.state_dict().items():
            if tensor.is_floating_point():
                self._check_finite(f"weight {name}", tensor.norm().item())

    def _check_finite(self, name: str, *values: float) -> None:
        for value in values:
            if not math.isfinite(value):
                raise StepscanError(
                    f"the {name} became {value} at step {self.clock.step + 1}; {self.checkpointer.advice}. "
                    "Try a lower learning rate or a lower clip norm, and look for extreme values in the data."
                )

    def _evaluate(self) -> None:
        self.judged_at = self.schedule.updates
        self.check_weights()
        self.task.model.eval()
        with self.average, torch.inference_mode(), enough_memory("the validation data", "give fewer or shorter ones"):
            scores = {} if self.task.evaluate is None else self.task.evaluate()
            weights = _cloned(self.task.model.state_dict())
        self._check_finite("validation score", *scores.values())
        name, score = next(iter(scores.items()), ("", 0.0))
        is_perfect = score >= 1 if self.task.greater_is_better else score <= 0
        is_flat = bool(scores) and not is_perfect and all(row[f"valid_{name}"] == score for row in self.history)
        is_best = self._compare(score if self.task.greater_is_better else -score, weights, is_flat=is_flat)
        figures, self.meter = self.meter.figures(), Meter()
        row: dict[str, Any] = {"epoch": self.epoch + 1, "step": self.clock.step, "updates": self.schedule.updates}
        row["seconds"] = round(self.clock.seconds, 2)
        row |= {"train_loss": figures.pop("loss"), **{f"valid_{k}": v for k, v in scores.items()}, **figures}
        row |= {"learning_rate": self.optimiser.learning_rate, **self.monitor.metrics(), "best": is_best}
        self.history.append(row)
        self.reporter.evaluated(row)
        self.curve.write(row)
        for text in self.monitor.warnings():
            self.reporter.note(text)

    def _compare(self, score: float, weights: dict[str, Tensor], *, is_flat: bool) -> bool:
        """Whether the weights are the best so far; of equal ones the later are, which are trained longer. A score that
        has not changed yet has not stopped rising: an F1 of 0 until the first span is found."""
        best = -math.inf if self.best is None else self.best.score
        self.evaluations_since_best = 0 if score > best or is_flat else self.evaluations_since_best + 1
        if score < best:
            return False
        behind = self.schedule.behind
        model, optimiser = self.task.model.state_dict(), self.optimiser.state_dict()
        self.best = Kept(score, weights, self.schedule.plan(), behind, _cloned(model), copy.deepcopy(optimiser))
        return True


def limit(settings: TrainingOptions, batches_per_epoch: int) -> int:
    """Updates at most: by `epochs` and `max_updates`, whichever are set."""
    by_epochs = (settings.epochs or _ENDLESS) * -(-batches_per_epoch // settings.gradient_accumulation_steps)
    return min(by_epochs, settings.max_updates or _ENDLESS)


def _cloned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def seed_noise(seed: int, step: int) -> None:
    """Make the noise of a step (dropout, masks) a function of (seed, step) alone."""
    number = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)
    torch.default_generator.manual_seed(number)  # `torch.manual_seed` takes note of who calls it, for absent devices
