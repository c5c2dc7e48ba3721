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
from stepscan.errors import SettingsError, StepscanError
from stepscan.memory import enough_memory
from stepscan.options import TrainingOptions
from stepscan.processes.dealing import stretch
from stepscan.processes.joining import join
from stepscan.processes.team import PeerLost, Team
from stepscan.state import State, leaves, map_state
from stepscan.training.average import WeightAverage
from stepscan.training.checkpointing import Checkpointer
from stepscan.training.clipping import clip_gradients
from stepscan.training.clock import Clock, Meter
from stepscan.training.gradient_monitor import GradientMonitor, Monitor
from stepscan.training.optimiser import AdamW
from stepscan.training.progress import Reporter
from stepscan.training.schedule import Schedule
from stepscan.training.sharing import StepSums, gather_rows, sum_step
from stepscan.training.tensorboard import TensorBoardWriter

MIN_INTERVAL = 25  # updates between two evaluations
GROWTH = 8  # an evaluation follows when the number of updates has grown by one eighth
PATIENCE = 6  # evaluations, unless it is set: the number of updates has then doubled since the best score
MIN_UPDATES = 400  # before which, unless patience is set, training never stops early: earlier scores say little
_UNLIMITED = 2**31 - 1
_PROGRESS = {  # key in the state → attribute of a trainer: plain values about its progress
    "epoch": "epoch",
    "batch": "batch_index",
    "judged_at": "evaluated_at",
    "is_stale": "is_stale",
    "history": "history",
    "evaluations_since_best": "evaluations_since_best",
}
_ADVICE = "take a smaller batch_size (and accumulate batches), or split the longest sequences"


@dataclass
class Task:
    """A model, its training batches and its evaluation."""

    model: nn.Module  # a pattern: `loss(inputs, targets, state)` returns a `Loss`
    batches: Callable[[int], Iterable[TrainingBatch]]  # of an epoch, counted from 0
    batches_per_epoch: int
    evaluate: Callable[[], dict[str, float]] | None  # scores on the validation data; the first one is decisive
    greater_is_better: bool
    items_per_batch: float = 1.0  # on average
    evaluation_cost: int = 1  # minimum updates between two evaluations, so that these take little of the time
    shares: Callable[[int, Team], Iterable[TrainingBatch]] | None = None  # as `batches`, this process's rows of each
    fingerprint: str = ""  # of the training data; empty: computed from the batches of the first epoch
    held_out: Any = None  # the validation data: texts, numbers, arrays, and lists of them; None without an evaluation


@dataclass
class BestState:
    """The best weights so far, and the state of the training that they are from."""

    score: float
    weights: dict[str, Tensor]  # that were evaluated: the moving average, if there is one
    plan: dict[str, float]  # see `Schedule.plan`
    behind: int  # updates of these weights
    model: dict[str, Tensor]
    optimiser: dict[str, Any]


class Trainer:
    """One training: the optimiser, the schedule, the best weights so far and the training curve.

    An evaluation follows when the number of updates has grown by an eighth since the last one (where `epochs` is set,
    at the end of that epoch), so that a training of 50 updates and one of 5,000,000 both have some tens of them. When
    the score has not improved for `patience` evaluations, training returns to the best weights and the learning rate
    decays from there; a time budget is used to its end.

    Args:
        task, settings: what to train, and how.
        reporter: gets progress and messages.
        identity: settings that must be the same for a training to be resumed; see `Checkpointer`.
        earlier: the results of the stages before this one, of a training in several.
        is_first: whether it is the first stage that this process runs, which may resume from checkpoints.
        restarts: whether a resumed training starts from its beginning.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainingOptions,
        reporter: Reporter,
        identity: dict[str, Any] | None = None,
        earlier: Sequence[dict[str, Any]] = (),
        *,
        is_first: bool = True,
        restarts: bool = False,
    ) -> None:
        self.task, self.settings, self.reporter, self.earlier = task, settings, reporter, list(earlier)
        self.team = join(settings)
        self.checkpointer = Checkpointer(settings, self.team, identity or {}, is_first=is_first, restarts=restarts)
        self.optimiser = AdamW(task.model, settings)
        self.average = WeightAverage(task.model, settings.ema_decay)
        self.clock = Clock(is_shared=self.team.size > 1)
        self.schedule = Schedule(settings, self.clock, max_updates(settings, task.batches_per_epoch))
        monitors = settings.monitor_gradients and self.team.is_first
        self.monitor = GradientMonitor(task.model, settings.max_grad_norm) if monitors else Monitor()
        self.tensorboard = TensorBoardWriter(settings.tensorboard if self.team.is_first else None)
        self.history: list[dict[str, Any]] = []
        self.best: BestState | None = None
        self.evaluations_since_best = 0
        self.is_stale = False  # whether the score stopped improving, and the decay began
        self.evaluated_at = 0  # updates at the last evaluation
        self.meter = Meter()
        self._begin_epoch(0)

    def run(self) -> list[dict[str, Any]]:
        """Train to the end, restore the best weights and return the training curve: one row per evaluation.

        Raises:
            StepscanError: the loss, a gradient or a weight became infinite or NaN, or the checkpoints do not match.
            Interrupted: Ctrl-C or SIGTERM was received.
            PeerLost: another process of the training ended.
        """
        try:
            with self.checkpointer:
                self.checkpointer.restore(self)
                self.team.share_weights(self.task.model.state_dict().values())
                while not self._is_over:
                    self.run_epoch()
            if self.settings.time_budget and self.clock.seconds >= self.settings.time_budget:
                self.reporter.note("the time budget is used up")
        except PeerLost as lost:
            raise PeerLost(f"{lost}; {self.checkpointer.advice}", has_reason=lost.has_reason) from lost
        finally:
            self.reporter.close()
            self.tensorboard.close()
        if self.best is not None:
            self.task.model.load_state_dict(self.best.weights)
        self.task.model.eval()
        return self.history

    @property
    def plan(self) -> dict[str, float]:
        """The settings of another training that would end like the best weights; see `Schedule.plan`. Where patience
        ended this training within its decay, it has the number of updates of these weights."""
        if self.best is None or self.schedule.is_over:
            return {} if self.best is None else self.best.plan
        plan, updates = self.best.plan, self.best.behind
        warmup = plan["warmup_ratio"] * plan["max_updates"]
        return {**plan, "max_updates": updates, "warmup_ratio": min(1.0, warmup / updates)}

    @property
    def _is_over(self) -> bool:
        """Whether the last evaluation ends the training."""
        if not self.history or self.evaluated_at != self.schedule.updates:
            return False
        stopped = self._patience_is_over and self.schedule.is_decaying and not self.is_stale
        return self.schedule.is_over or stopped

    @property
    def _patience_is_over(self) -> bool:
        if self.task.evaluate is None:
            return False  # there is no score to wait for
        if self.settings.patience is not None:
            return self.evaluations_since_best >= self.settings.patience
        is_long_enough = self.schedule.updates >= MIN_UPDATES and not self.settings.time_budget
        return is_long_enough and self.evaluations_since_best >= PATIENCE

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self.batch_index = epoch, 0  # index of the next batch
        self.carried_state: State | None = None  # of truncated back-propagation through time
        self.items = 0.0  # that the accumulated gradients are summed over

    def run_epoch(self) -> None:
        """Train to the end of the epoch or of the training, and begin the next epoch; `run` calls it."""
        for batch in itertools.islice(self._batches(self.epoch), self.batch_index, None):
            self.task.model.train()
            size = f"a batch of {batch.sequences:,} sequences, {batch.padded_tokens:,} items with padding"
            with enough_memory(size, _ADVICE):
                self._step(batch.to(self.settings.device))
            self.reporter.step(self.schedule.done, self.meter.figures())
            if self.items == 0:  # after an update
                self._after_update()
                if self._is_over:
                    return
        self._begin_epoch(self.epoch + 1)

    def _batches(self, epoch: int) -> Iterable[TrainingBatch]:
        if self.team.size == 1:
            return self.task.batches(epoch)
        if self.task.shares is None:
            raise SettingsError("processes: expected 1, for this task's batches cannot be shared out")
        return self.task.shares(epoch, self.team)

    def _after_update(self) -> None:
        """Evaluate, return to the best weights, write a checkpoint, each if it is due."""
        is_due = self._is_evaluation_due
        if is_due:
            self._evaluate()
            if self._patience_is_over and not self.schedule.is_decaying:
                self._return_to_best()
        self.checkpointer.maybe_save(self, now=is_due)

    @property
    def _is_evaluation_due(self) -> bool:
        updates = self.schedule.updates - self.evaluated_at
        if self.schedule.is_over:
            return True
        if self.settings.epochs is not None:
            return self.batch_index == self.task.batches_per_epoch and updates >= self.evaluated_at / GROWTH
        return updates >= max(self.evaluated_at / GROWTH, self.task.evaluation_cost, MIN_INTERVAL)

    def _return_to_best(self) -> None:
        """Restore the best weights and begin the decay of the learning rate."""
        assert self.best is not None
        self.is_stale, self.evaluations_since_best = True, 0
        self.task.model.load_state_dict(self.best.model)
        self.optimiser.load_state_dict(self.best.optimiser)
        self.average.restart(self.best.weights)
        self.schedule.begin_decay(self.best.behind)

    def _step(self, batch: TrainingBatch) -> None:
        """Gradients of a batch, and an update if enough batches are accumulated."""
        seed_noise(self.settings.seed, self.clock.step, self.team.rank)
        total, count, state = self._loss(batch)
        sums = self._sum_over_processes(batch, 0.0 if total is None else total.item(), count)
        self._check_finite("loss", sums.loss / max(sums.items, 1))
        if self.items == 0:
            self.optimiser.zero_grad(set_to_none=True)
        if total is not None:
            total.backward()
        self.items += sums.items
        self.batch_index += 1
        is_last = self.batch_index == self.task.batches_per_epoch
        if is_last or self.batch_index % self.settings.gradient_accumulation_steps == 0:
            self._update()
            if batch.sequences:
                self.monitor.on_update(batch, self.carried_state)
        model: Any = self.task.model
        self.carried_state = None if state is None else model.detach_state(state)
        self.clock.step += 1
        self.meter.add(sums)

    def _loss(self, batch: TrainingBatch) -> tuple[Tensor | None, int, State | None]:
        """Loss, items and final state; of a process without a row of the batch, None, 0 and None."""
        if not batch.sequences:
            return None, 0, None
        model: Any = self.task.model
        with torch.autocast(self.settings.device, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            return model.loss(batch.inputs, batch.targets, self.carried_state)

    def _sum_over_processes(self, batch: TrainingBatch, loss: float, count: int) -> StepSums:
        figures = (loss, count, batch.sequences, batch.tokens, batch.padded_tokens)
        sums = sum_step(self.team, figures, self.clock.elapsed, self.checkpointer.own_requests())
        self.clock.agree(sums.seconds)
        self.checkpointer.requests = sums.requests
        return sums

    def _update(self) -> None:
        self.optimiser.learning_rate = self.settings.learning_rate * self.schedule.rate()
        self.team.sum_gradients(self.task.model.parameters())
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
        self.items = 0.0

    def state_dict(self) -> dict[str, Any]:
        """All that does not follow from settings and data, as a nested dictionary of tensors and plain values."""
        carried = gather_rows(self.team, [] if self.carried_state is None else list(leaves(self.carried_state)))
        return {
            **{name: component.state_dict() for name, component in self._components.items()},
            "best": None if self.best is None else vars(self.best),
            "carried": {str(i): leaf for i, leaf in enumerate(carried)},
            **{key: getattr(self, name) for key, name in _PROGRESS.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`, for a trainer with the same settings and data."""
        for name, component in self._components.items():
            component.load_state_dict(state[name])
        if state["best"] is not None:
            self.best = BestState(**state["best"])
        carried = [state["carried"][str(i)] for i in range(len(state["carried"]))]
        carried = [leaf[stretch(len(leaf), self.team.rank, self.team.size)] for leaf in carried]
        if carried and len(carried[0]):  # this process has rows
            model: Any = self.task.model
            values = iter(carried)
            self.carried_state = map_state(lambda leaf: next(values), model.initial_state(len(carried[0])))
        for key, name in _PROGRESS.items():
            setattr(self, name, state[key])

    @property
    def _components(self) -> dict[str, Any]:
        """The components that have a `state_dict`."""
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
        """Raise a `StepscanError` if a weight is not finite."""
        for name, tensor in self.task.model.state_dict().items():
            if tensor.is_floating_point():
                self._check_finite(f"weight {name}", tensor.norm().item())

    def _check_finite(self, name: str, *values: float) -> None:
        for value in values:
            if not math.isfinite(value):
                raise StepscanError(
                    f"the {name} became {value} at step {self.clock.step + 1}; {self.checkpointer.advice}. "
                    "Try a lower learning_rate or max_grad_norm, and look for extreme values in the data."
                )

    def _evaluate(self) -> None:
        self.evaluated_at = self.schedule.updates
        self.check_weights()
        self.task.model.eval()
        with self.average, torch.inference_mode(), enough_memory("the validation data", "give fewer or shorter ones"):
            scores = {} if self.task.evaluate is None else self.team.broadcast(self.task.evaluate())
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
        self.tensorboard.write(row)
        for text in self.monitor.warnings():
            self.reporter.note(text)

    def _compare(self, score: float, weights: dict[str, Tensor], *, is_flat: bool) -> bool:
        """Store the weights if they are the best so far, and return whether they are. Of weights with equal scores the
        later are better. A score that never changed (`is_flat`), such as an F1 of 0 until the first span is correct,
        does not count against patience."""
        best = -math.inf if self.best is None else self.best.score
        self.evaluations_since_best = 0 if score > best or is_flat else self.evaluations_since_best + 1
        if score < best:
            return False
        behind = self.schedule.behind
        model, optimiser = self.task.model.state_dict(), self.optimiser.state_dict()
        self.best = BestState(score, weights, self.schedule.plan(), behind, _cloned(model), copy.deepcopy(optimiser))
        return True


def max_updates(settings: TrainingOptions, batches_per_epoch: int) -> int:
    """Maximum number of updates, by `epochs` and `max_updates`, whichever are set."""
    by_epochs = (settings.epochs or _UNLIMITED) * -(-batches_per_epoch // settings.gradient_accumulation_steps)
    return min(by_epochs, settings.max_updates or _UNLIMITED)


def _cloned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def seed_noise(seed: int, step: int, rank: int = 0) -> None:
    """Seed the random numbers of a step (dropout, masks) by (seed, step) and the process's number alone, so that
    training resumes exactly."""
    key = [seed, step, rank] if rank else [seed, step]
    number = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)
    torch.default_generator.manual_seed(number)  # `torch.manual_seed` also records its caller, for absent devices
