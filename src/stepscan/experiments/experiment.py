"""What defines an experiment: its models, training data, evaluation, and the expected results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch

from stepscan.data.batching import TrainingBatch, pad
from stepscan.data.synthetic.generated_examples import GeneratedExamples
from stepscan.sequences import Sequences

Values = Mapping[str, float]  # each model's result, by name
Draw = Callable[[list[int], float], GeneratedExamples]  # seed, completed fraction of training → examples


class ModelSetup(NamedTuple):
    """A model of an experiment, how it is trained, and its expected result."""

    name: str
    make: Callable[[], Any]  # a pattern with new weights
    learning_rate: float  # peak
    expected: str = ""  # for people
    as_expected: Callable[[Values], bool] | None = None  # whether the results of all models are as expected
    draw: Draw | None = None  # training data, if not those of the experiment


class Experiment(NamedTuple):
    """Models that are trained on the same generated batches and evaluated in the same way."""

    name: str
    title: str
    metric: str  # including its unit
    greater_is_better: bool
    source: str  # papers
    models: tuple[ModelSetup, ...]
    updates: int  # per model
    seconds: float  # training time of all models together; training ends early when it is used up
    batch_size: int
    draw: Draw  # training data
    validate: Callable[[Any], Mapping[str, float]]  # model → scores; the weights with the best first score are kept
    test: Callable[[Any], Mapping[str, float]]  # model → figures; the first one is the result
    baselines: tuple[tuple[str, float], ...] = ()  # results without a model
    remarks: str = ""  # differences from the papers
    before: Callable[[Any], Mapping[str, float]] = lambda model: {}  # figures of a model before training
    max_grad_norm: float = 1.0
    updates_per_evaluation: int = 100
    options: tuple[str, ...] = ()  # of the command line, besides seed and time budget, that choose its models


def as_batch(examples: GeneratedExamples) -> TrainingBatch:
    """GeneratedExamples as a batch for a pattern's `loss`."""
    inputs = as_input(examples.inputs)
    tokens = int(inputs.lengths.sum())
    return TrainingBatch(inputs, as_target(examples.targets), len(inputs), tokens, len(inputs) * inputs.steps)


def as_input(inputs: Any) -> Sequences:
    """Ragged rows of ids, or an array `[N, T]` of ids or `[N, T, D]` of values, as `Sequences`."""
    if isinstance(inputs, list):
        return pad(inputs)
    data = torch.from_numpy(inputs)
    return Sequences(data.float() if data.is_floating_point() else data, torch.full((len(data),), data.shape[1]))


def as_target(targets: Any) -> Any:
    """Values or classes `[N]` as a tensor; rows of classes as `Sequences`."""
    if isinstance(targets, list) or targets.ndim > 1:
        return as_input(targets)
    data = torch.from_numpy(targets)
    return data.float() if data.is_floating_point() else data


def batches(experiment: Experiment, setup: ModelSetup, seed: int, epoch: int) -> Iterable[TrainingBatch]:
    """New examples for the updates between two evaluations, a function of (seed, epoch)."""
    count, draw = experiment.updates_per_evaluation, setup.draw or experiment.draw
    for i in range(count):
        done = (epoch * count + i) / experiment.updates
        yield as_batch(draw([1, seed, epoch, i], min(done, 1.0)))
