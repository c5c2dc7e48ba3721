"""What an experiment is: who takes part, what they learn from, how they are judged, and what is expected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch

from stepscan.data.batching import TrainingBatch, pad
from stepscan.data.synthetic.generated_examples import GeneratedExamples
from stepscan.sequences import Sequences

Values = Mapping[str, float]  # of each contestant, by name
Draw = Callable[[list[int], float], GeneratedExamples]  # seed, share of training done → examples


class Contestant(NamedTuple):
    """A model that takes part."""

    name: str
    make: Callable[[], Any]  # a pattern, with new weights
    learning_rate: float  # at its highest
    expected: str = ""  # in words
    holds: Callable[[Values], bool] | None = None  # whether what is expected came, given all values
    batch: Draw | None = None  # what it learns from, where that is not the experiment's


class Experiment(NamedTuple):
    """Models that are trained on the same generated batches and judged alike."""

    name: str
    title: str
    metric: str  # with its unit
    greater_is_better: bool
    source: str  # papers
    contestants: tuple[Contestant, ...]
    updates: int  # of each contestant
    seconds: float  # that all of them together may train: a shorter time ends training earlier
    batch_size: int
    batch: Draw  # what to learn from
    validate: Callable[[Any], Mapping[str, float]]  # model → scores; the best first one decides which weights are kept
    test: Callable[[Any], Mapping[str, float]]  # model → figures, of which the first is the result
    baselines: tuple[tuple[str, float], ...] = ()  # what is known without a model
    remarks: str = ""  # what differs from the papers
    before: Callable[[Any], Mapping[str, float]] = lambda model: {}  # figures of a model before it is trained
    clip_norm: float = 1.0
    updates_per_evaluation: int = 100


def as_batch(examples: GeneratedExamples) -> TrainingBatch:
    """Examples as a pattern's `loss` takes them."""
    inputs, targets = examples
    given = as_input(inputs)
    count = int(given.lengths.sum())
    return TrainingBatch(given, as_target(targets), len(given), count, len(given) * given.steps)


def as_input(inputs: Any) -> Sequences:
    """Rows of ids, or an array `[N, T, D]` of numbers."""
    if isinstance(inputs, list):
        return pad(inputs)
    data = torch.from_numpy(inputs)
    return Sequences(data.float() if data.is_floating_point() else data, torch.full((len(data),), data.shape[1]))


def as_target(targets: Any) -> Any:
    """Numbers or classes `[N]`, or rows of classes."""
    if isinstance(targets, list) or targets.ndim > 1:
        return as_input(targets)
    data = torch.from_numpy(targets)
    return data.float() if data.is_floating_point() else data


def batches(experiment: Experiment, one: Contestant, seed: int, epoch: int) -> Iterable[TrainingBatch]:
    """New examples for the updates between two evaluations; (seed, epoch) decide them."""
    each, draw = experiment.updates_per_evaluation, one.batch or experiment.batch
    for number in range(each):
        done = (epoch * each + number) / experiment.updates
        yield as_batch(draw([1, seed, epoch, number], min(done, 1.0)))
