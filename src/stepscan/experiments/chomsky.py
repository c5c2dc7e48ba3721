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
from stepscan.experiments.experiment import Contestant, Experiment, as_input
from stepscan.experiments.models import decider, transducer

TRAINED, TESTED = 40, range(41, 501, 9)  # longest in training; those tested
SOLVED = 90.0  # per cent, as the paper counts
_HIDDEN, _EMBEDDING, _BATCH = 64, 8, 64


class _Language(NamedTuple):
    title: str
    draw: Callable[[Any, int, int], GeneratedExamples]
    symbols: int
    classes: int
    rnn: float  # the paper's table 2, per cent
    lstm: float
    updates: int = 10_000
    answers: bool = False  # a class a step after reading, rather than one at the end


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
    """One of the tasks, by its name in `TASKS`."""
    language = _LANGUAGES[task]
    return Experiment(
        name=f"chomsky-{task}",
        title=f"{language.title}, lengths ≤ {TRAINED} → {TESTED[0]} to 500",
        metric="accuracy, %",
        greater_is_better=True,
        source="Delétang et al. 2023, table 2 (from memory)",
        contestants=(
            _contestant("RNN (Elman, tanh)", Elman, 0.002, language, language.rnn),
            _contestant("LSTM", LSTM, 0.005, language, language.lstm),
        ),
        updates=language.updates,
        seconds=150,
        batch_size=_BATCH,
        batch=lambda seed, done: language.draw([*seed, 1], _BATCH, _length(seed, done)),
        validate=lambda model: _validation(model, language),
        test=lambda model: {"accuracy": accuracy(model, language, TESTED, 3)},
        baselines=(("chance", 100 / (language.classes - language.answers)),),
        remarks=_REMARKS,
    )


_REMARKS = (
    "The paper takes the best of 10 seeds and several learning rates, at a million updates of 128 sequences. "
    "Here it is one seed and one rate. The longest length of a batch grows from 3 to 40 in the first 60 % of training, "
    "each batch has one length; every ninth length is tested, with 64 sequences. Where a sequence is the answer, the "
    "model reads blanks while it answers, and is also taught to say blank while it reads."
)


def _contestant(name: str, cell: Any, rate: float, language: _Language, published: float) -> Contestant:
    make = transducer if language.answers else decider
    solved = (lambda values: values[name] >= SOLVED) if published >= SOLVED else None
    return Contestant(
        name,
        lambda: make(cell(_EMBEDDING, _HIDDEN), language.symbols, language.classes),
        rate,
        f"paper {published:g}" + (f" (≥ {SOLVED:g})" if solved else ""),
        solved,
    )


def _length(seed: list[int], done: float) -> int:
    """A length of 1 … the longest so far, which grows from 3 to 40 in the first 60 % of training, faster and faster."""
    longest = min(TRAINED, round(3 + (done / 0.6) ** 2 * (TRAINED - 3)))
    return int(np.random.default_rng([*seed, 0]).integers(1, longest + 1))


def _validation(model: Any, language: _Language) -> dict[str, float]:
    """On trained lengths."""
    return {"accuracy": accuracy(model, language, range(4, TRAINED + 1, 4), 2)}


def accuracy(model: Any, language: _Language, lengths: range, seed: int) -> float:
    """Per cent of answers that are right, the mean over the lengths; of a sequence, of its symbols."""
    shares = []
    for length in lengths:
        inputs, targets = language.draw([seed, length], 64, length)
        wanted = torch.as_tensor(np.ascontiguousarray(targets))
        scores = model(as_input(inputs))
        if language.answers:
            found = scores[0].data.argmax(dim=2)[:, length:] == wanted[:, length:]
        else:
            found = scores.argmax(dim=1) == wanted
        shares.append(float(found.float().mean()))
    return 100 * sum(shares) / len(shares)
