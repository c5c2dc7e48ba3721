"""Six tasks of the Chomsky hierarchy: trained on lengths to 40, tested on 41 to 500 (Delétang et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.cells.elman import Elman
from stepscan.cells.lstm import LSTM
from stepscan.data.synthetic import bucket_sort, cycle_navigation, even_pairs, modular_arithmetic, parity, reverse
from stepscan.data.synthetic.generated_examples import GeneratedExamples
from stepscan.experiments.experiment import Experiment, ModelSetup, as_input
from stepscan.experiments.models import classifier, transducer

TRAINED, TESTED = 40, range(41, 501, 9)  # maximum length in training; lengths in the test
SOLVED = 90.0  # per cent, the paper's criterion
_HIDDEN, _EMBEDDING, _BATCH = 64, 8, 64


class _Language(NamedTuple):
    title: str
    draw: Callable[[Any, int, int], GeneratedExamples]
    symbols: int
    classes: int
    rnn: float  # the paper's table 2, per cent
    lstm: float
    updates: int = 10_000
    answers: bool = False  # whether the answer is a sequence after the input, instead of one class


_LANGUAGES = {
    "parity": _Language("Parity", parity.parity, parity.SYMBOLS, parity.CLASSES, 100, 100, updates=3000),
    "even-pairs": _Language(
        "Even pairs", even_pairs.even_pairs, even_pairs.SYMBOLS, even_pairs.CLASSES, 100, 100, updates=3000
    ),
    "modular-arithmetic": _Language(
        "Modular arithmetic",
        modular_arithmetic.modular_arithmetic,
        modular_arithmetic.SYMBOLS,
        modular_arithmetic.CLASSES,
        100,
        100,
        updates=15_000,
    ),
    "cycle-navigation": _Language(
        "Cycle navigation",
        cycle_navigation.cycle_navigation,
        cycle_navigation.SYMBOLS,
        cycle_navigation.CLASSES,
        100,
        100,
    ),
    "bucket-sort": _Language(
        "Bucket sort", bucket_sort.bucket_sort, bucket_sort.SYMBOLS, bucket_sort.CLASSES, 27.9, 99.3, 6000, answers=True
    ),
    "reverse": _Language("Reverse", reverse.reverse, reverse.SYMBOLS, reverse.CLASSES, 62.0, 60.9, 6000, answers=True),
}
TASKS = tuple(_LANGUAGES)


def experiment(task: str) -> Experiment:
    """The experiment of a task in `TASKS`."""
    language = _LANGUAGES[task]
    return Experiment(
        name=f"chomsky-{task}",
        title=f"{language.title}, lengths ≤ {TRAINED} → {TESTED[0]} to 500",
        metric="accuracy, %",
        greater_is_better=True,
        source="Delétang et al. 2023, table 2 (from memory)",
        models=(
            _setup("RNN (Elman, tanh)", Elman, 0.002, language, language.rnn),
            _setup("LSTM", LSTM, 0.005, language, language.lstm),
        ),
        updates=language.updates,
        seconds=150,
        batch_size=_BATCH,
        draw=lambda seed, done: language.draw([*seed, 1], _BATCH, _length(seed, done)),
        validate=lambda model: _validation(model, language),
        test=lambda model: {"accuracy": accuracy(model, language, TESTED, 3)},
        baselines=(("chance", 100 / (language.classes - language.answers)),),
        remarks=_REMARKS,
    )


_REMARKS = (
    "The paper reports the best of 10 seeds and several learning rates, after a million updates of 128 sequences; here "
    "it is one seed and one learning rate. All sequences of a batch have the same length; the maximum length grows "
    "from 3 to 40 in the first 60 % of training. Every ninth length is tested, with 64 sequences. If the answer is a "
    "sequence, the model reads blanks while it answers, and is trained to output blanks while it reads."
)


def _setup(name: str, cell: Any, learning_rate: float, language: _Language, published: float) -> ModelSetup:
    make = transducer if language.answers else classifier
    solved = (lambda values: values[name] >= SOLVED) if published >= SOLVED else None
    return ModelSetup(
        name,
        lambda: make(cell(_EMBEDDING, _HIDDEN), language.symbols, language.classes),
        learning_rate,
        f"paper {published:g}" + (f" (≥ {SOLVED:g})" if solved else ""),
        solved,
    )


def _length(seed: list[int], done: float) -> int:
    """A random length; its maximum grows quadratically from 3 to 40 in the first 60 % of training."""
    longest = min(TRAINED, round(3 + (done / 0.6) ** 2 * (TRAINED - 3)))
    return int(np.random.default_rng([*seed, 0]).integers(1, longest + 1))


def _validation(model: Any, language: _Language) -> dict[str, float]:
    """Accuracy on lengths of training."""
    return {"accuracy": accuracy(model, language, range(4, TRAINED + 1, 4), 2)}


def accuracy(model: Any, language: _Language, lengths: range, seed: int) -> float:
    """Accuracy in per cent, the mean over the lengths; per symbol if the answer is a sequence."""
    accuracies = []
    for length in lengths:
        examples = language.draw([seed, length], 64, length)
        targets = torch.as_tensor(np.ascontiguousarray(examples.targets))
        scores = model(as_input(examples.inputs))
        if language.answers:
            correct = scores[0].data.argmax(dim=2)[:, length:] == targets[:, length:]
        else:
            correct = scores.argmax(dim=1) == targets
        accuracies.append(float(correct.float().mean()))
    return 100 * sum(accuracies) / len(accuracies)
