"""The training loop, the same for every pattern and every cell."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from stepscan.data.batching import Batch
from stepscan.errors import StepscanError
from stepscan.training.progress import Silence
from stepscan.training.settings import TrainingSettings


@dataclass
class Task:
    """What is trained, on what, and how it is judged."""

    model: nn.Module  # a pattern: `loss(inputs, targets, state)` gives a `Loss`
    batches: Callable[[int], Iterable[Batch]]  # of an epoch, counted from 0
    batches_per_epoch: int
    evaluate: Callable[[], dict[str, float]]  # scores on the validation data; the first one decides
    greater_is_better: bool


@dataclass
class Meter:
    """Running figures of the stretch since the last evaluation."""

    started: float = field(default_factory=time.perf_counter)
    loss: float = 0.0
    count: int = 0
    sequences: int = 0
    tokens: int = 0
    places: int = 0

    def add(self, batch: Batch, loss: float, count: int) -> None:
        self.loss, self.count = self.loss + loss, self.count + count
        self.sequences, self.tokens = self.sequences + batch.sequences, self.tokens + batch.tokens
        self.places += batch.places

    def figures(self) -> dict[str, float]:
        seconds = max(time.perf_counter() - self.started, 1e-9)
        return {
            "loss": self.loss / max(self.count, 1),
            "sequences_per_second": self.sequences / seconds,
            "tokens_per_second": self.tokens / seconds,
            "padding": 1 - self.tokens / max(self.places, 1),
        }


class Average:
    """Exponential moving average of the weights (Polyak & Juditsky 1992); within `with`, the model has the average.

    The decay rises with the updates n, `min(decay, (1 + n) / (10 + n))`, so that the first weights are soon forgotten.
    Decay 0 is no average: the model's own weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.parameters = list(model.parameters())
        self.values = [parameter.detach().clone() for parameter in self.parameters] if decay else []

    def update(self) -> None:
        """After an update of the weights."""
        if self.decay:
            self.updates += 1
            share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
            torch._foreach_lerp_(self.values, [parameter.detach() for parameter in self.parameters], share)

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *error: object) -> None:
        self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters if self.values else [], self.values, strict=True):
                kept = parameter.detach().clone()
                parameter.copy_(value)
                value.copy_(kept)


class Clock:
    """How far training is: by steps, or by the time budget where that is further."""

    def __init__(self, settings: TrainingSettings, steps: int) -> None:
        self.started, self.budget, self.steps, self.warmup = (
            time.perf_counter(),
            settings.time_budget,
            steps,
            settings.warmup,
        )
        self.step = 0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    @property
    def done(self) -> float:
        """0 at the start, 1 at the end."""
        by_time = self.seconds / self.budget if self.budget else 0.0
        return min(max(self.step / self.steps, by_time), 1.0)

    @property
    def is_out_of_time(self) -> bool:
        return self.budget is not None and self.seconds >= self.budget

    def rate(self) -> float:
        """Share of the highest learning rate: a linear rise, then half a cosine to 0 (Loshchilov & Hutter 2017)."""
        done = self.done if self.budget else (self.step + 1) / (self.steps + 1)
        if done < self.warmup:
            return done / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (done - self.warmup) / max(1 - self.warmup, 1e-9)))


class Trainer:
    """One training: the optimiser, the clock, the best weights so far and the curve."""

    def __init__(self, task: Task, settings: TrainingSettings, reporter: Silence) -> None:
        self.task, self.settings, self.reporter = task, settings, reporter
        self.optimiser = _optimiser(task.model, settings)
        self.average = Average(task.model, settings.average_decay)
        self.clock = Clock(settings, settings.epochs * task.batches_per_epoch)
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self.best_score = -math.inf
        self.evaluations_since_best = 0

    def run(self) -> list[dict[str, Any]]:
        """Train to the end, put the best weights back and return the curve: one row an evaluation."""
        try:
            for epoch in range(self.settings.epochs):
                meter = Meter()
                finished = self._epoch(epoch, meter)
                self._evaluate(epoch, meter)
                if not finished:
                    self.reporter.note("the time budget is used up")
                if not finished or self.evaluations_since_best >= self.settings.patience:
                    break
        finally:
            self.reporter.close()
        self.task.model.load_state_dict(self.best)
        self.task.model.eval()
        return self.history

    def _epoch(self, epoch: int, meter: Meter) -> bool:
        """One pass; False if the time budget ended it."""
        model: Any = self.task.model
        model.train()
        state = None
        for batch in self.task.batches(epoch):
            seed_noise(self.settings.seed, self.clock.step)
            for group in self.optimiser.param_groups:
                group["lr"] = self.settings.learning_rate * self.clock.rate()
            batch = batch.to(self.settings.device)
            total, count, state = model.loss(batch.inputs, batch.targets, state)
            self._update(total / max(count, 1))
            self.average.update()
            state = None if state is None else model.carry(state)
            self.clock.step += 1
            meter.add(batch, total.item(), count)
            self.reporter.step(self.clock.done, meter.figures())
            if self.clock.is_out_of_time:
                return False
        return True

    def _update(self, loss: torch.Tensor) -> None:
        self._check_finite("loss", loss.item())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = dict(self.task.model.named_parameters())
        norm = nn.utils.get_total_norm([p.grad for p in parameters.values() if p.grad is not None])
        if not math.isfinite(norm.item()):
            for name, parameter in parameters.items():
                if parameter.grad is not None:
                    self._check_finite(f"gradient of {name}", parameter.grad.norm().item())
            self._check_finite("norm of all gradients together", norm.item())
        nn.utils.clip_grads_with_norm_(parameters.values(), self.settings.clip_norm, norm)
        self.optimiser.step()

    def _check_finite(self, name: str, *values: float) -> None:
        for value in values:
            if not math.isfinite(value):
                raise StepscanError(
                    f"the {name} became {value} at step {self.clock.step + 1}; nothing was saved. "
                    "Try a lower learning rate or a lower clip norm, and look for extreme values in the data."
                )

    def _evaluate(self, epoch: int, meter: Meter) -> None:
        figures = meter.figures()
        for name, tensor in self.task.model.state_dict().items():
            if tensor.is_floating_point():
                self._check_finite(f"weight {name}", tensor.norm().item())
        self.task.model.eval()
        with self.average, torch.inference_mode():
            scores = self.task.evaluate()
            weights = copy.deepcopy(self.task.model.state_dict())
        self._check_finite("validation score", *scores.values())
        score = next(iter(scores.values())) * (1 if self.task.greater_is_better else -1)
        self.evaluations_since_best = 0 if score > self.best_score else self.evaluations_since_best + 1
        is_best = score >= self.best_score or not self.best  # of equal ones the later, which is trained longer
        if is_best:
            self.best_score, self.best = score, weights
        row = {"epoch": epoch + 1, "step": self.clock.step, "seconds": round(self.clock.seconds, 2)}
        row |= {"train_loss": figures.pop("loss"), **{f"valid_{k}": v for k, v in scores.items()}, **figures}
        row |= {"learning_rate": self.optimiser.param_groups[0]["lr"], "best": is_best}
        self.history.append(row)
        self.reporter.evaluated(row)


def seed_noise(seed: int, step: int) -> None:
    """Make the noise of a step (dropout, masks) a function of (seed, step) alone."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]))


def _optimiser(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices only, not on biases and normalisation."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
