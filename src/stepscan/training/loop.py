"""The training loop, the same for every pattern and every cell."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from stepscan.data.batching import Batch
from stepscan.errors import StepscanError
from stepscan.memory import enough_memory
from stepscan.state import State
from stepscan.training.average import Average
from stepscan.training.clipping import clip
from stepscan.training.clock import Clock, Meter
from stepscan.training.progress import Silence
from stepscan.training.resuming import Keeper
from stepscan.training.settings import TrainingSettings
from stepscan.training.tensorboard import Curve
from stepscan.training.watching import Blind, Watcher

_ADVICE = "take a smaller batch_size (and accumulate batches), or split the longest sequences"


@dataclass
class Task:
    """What is trained, on what, and how it is judged."""

    model: nn.Module  # a pattern: `loss(inputs, targets, state)` gives a `Loss`
    batches: Callable[[int], Iterable[Batch]]  # of an epoch, counted from 0
    batches_per_epoch: int
    evaluate: Callable[[], dict[str, float]]  # scores on the validation data; the first one decides
    greater_is_better: bool


class Trainer:
    """One training: the optimiser, the clock, the best weights so far and the curve.

    Args:
        task, settings: what to train, and how.
        reporter: who is told.
        identity: what must be the same for an interrupted training to go on; see `Keeper`.
    """

    def __init__(
        self, task: Task, settings: TrainingSettings, reporter: Silence, identity: dict[str, Any] | None = None
    ) -> None:
        self.task, self.settings, self.reporter = task, settings, reporter
        self.keeper = Keeper(settings, identity or {})
        self.optimiser = _optimiser(task.model, settings)
        self.average = Average(task.model, settings.average_decay)
        self.clock = Clock(settings, settings.epochs * task.batches_per_epoch)
        self.watcher = Watcher(task.model, settings.clip_norm) if settings.watch_gradients else Blind()
        self.curve = Curve(settings.tensorboard)
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self.best_score = -math.inf
        self.evaluations_since_best = 0
        self._begin_epoch(0)

    def run(self) -> list[dict[str, Any]]:
        """Train to the end, put the best weights back and return the curve: one row an evaluation."""
        try:
            with self.keeper:
                self.keeper.restore(self)
                while not self._is_over:
                    self._run_epoch()
                    self._evaluate()
                    self._begin_epoch(self.epoch + 1)
                    self.keeper.keep(self, now=True)
            if self.clock.is_out_of_time:
                self.reporter.note("the time budget is used up")
        finally:
            self.reporter.close()
            self.curve.close()
        self.task.model.load_state_dict(self.best)
        self.task.model.eval()
        return self.history

    @property
    def _is_over(self) -> bool:
        out_of_time = self.clock.is_out_of_time and self.batch == 0 and bool(self.history)
        return (
            out_of_time or self.epoch >= self.settings.epochs or self.evaluations_since_best >= self.settings.patience
        )

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch, self.batch, self.meter = epoch, 0, Meter()  # batch: the number of the next one
        self.carried: State | None = None
        self.items = 0  # that the gradients so far are summed over

    def _run_epoch(self) -> None:
        """The rest of a pass, or what of it the time budget leaves."""
        self.task.model.train()
        for batch in itertools.islice(self.task.batches(self.epoch), self.batch, None):
            size = f"a batch of {batch.sequences:,} sequences, {batch.places:,} items with padding"
            with enough_memory(size, _ADVICE):
                self._step(batch.to(self.settings.device))
            self.reporter.step(self.clock.done, self.meter.figures())
            if self.items == 0:  # after an update
                self.keeper.keep(self)
            if self.clock.is_out_of_time:
                return

    def _step(self, batch: Batch) -> None:
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
        if self.batch % self.settings.accumulate == 0 or self.batch == self.task.batches_per_epoch:
            self._update()
            self.watcher.look(batch, self.carried)
        self.carried = None if state is None else model.carry(state)
        self.clock.step += 1
        self.meter.add(batch, loss, count)

    def _update(self) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * self.clock.rate()
        parameters = self.task.model.named_parameters()
        gradients = {name: p.grad for name, p in parameters if p.grad is not None}
        norm = (nn.utils.get_total_norm(gradients.values()) / max(self.items, 1)).item()
        if not math.isfinite(norm):
            for name, gradient in gradients.items():
                self._check_finite(f"gradient of {name}", gradient.norm().item())
            self._check_finite("norm of all gradients together", norm)
        self.watcher.updated(clip(list(gradients.values()), norm, self.items, self.settings))
        self.optimiser.step()
        self.average.update()
        self.items = 0

    def check_weights(self) -> None:
        """Raise if a weight is not finite."""
        for name, tensor in self.task.model.state_dict().items():
            if tensor.is_floating_point():
                self._check_finite(f"weight {name}", tensor.norm().item())

    def _check_finite(self, name: str, *values: float) -> None:
        for value in values:
            if not math.isfinite(value):
                raise StepscanError(
                    f"the {name} became {value} at step {self.clock.step + 1}; {self.keeper.advice}. "
                    "Try a lower learning rate or a lower clip norm, and look for extreme values in the data."
                )

    def _evaluate(self) -> None:
        figures = self.meter.figures()
        self.check_weights()
        self.task.model.eval()
        with self.average, torch.inference_mode(), enough_memory("the validation data", "give fewer or shorter ones"):
            scores = self.task.evaluate()
            weights = copy.deepcopy(self.task.model.state_dict())
        self._check_finite("validation score", *scores.values())
        score = next(iter(scores.values())) * (1 if self.task.greater_is_better else -1)
        self.evaluations_since_best = 0 if score > self.best_score else self.evaluations_since_best + 1
        is_best = score >= self.best_score or not self.best  # of equal ones the later, which is trained longer
        if is_best:
            self.best_score, self.best = score, weights
        row = {"epoch": self.epoch + 1, "step": self.clock.step, "seconds": round(self.clock.seconds, 2)}
        row |= {"train_loss": figures.pop("loss"), **{f"valid_{k}": v for k, v in scores.items()}, **figures}
        row |= {"learning_rate": self.optimiser.param_groups[0]["lr"], **self.watcher.figures(), "best": is_best}
        self.history.append(row)
        self.reporter.evaluated(row)
        self.curve.write(row)
        for text in self.watcher.warnings():
            self.reporter.note(text)


def seed_noise(seed: int, step: int) -> None:
    """Make the noise of a step (dropout, masks) a function of (seed, step) alone."""
    number = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)
    torch.default_generator.manual_seed(number)  # `torch.manual_seed` takes note of who calls it, for absent devices


def _optimiser(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices only, not on biases and normalisation."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
