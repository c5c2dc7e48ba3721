"""What every generated task gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stepscan.errors import SettingsError

Seed = int | Sequence[int]  # what `numpy.random.default_rng` takes: the same seed, the same examples


class GeneratedExamples(NamedTuple):
    """N sequences and what is wanted of each.

    `inputs`: rows `[T]` of ids, or `[T, D]` of numbers. `targets`: `[N]`, one of a sequence; or rows `[T]`, one a step.
    Where all rows are as long, either is one array.
    """

    inputs: np.ndarray | list[np.ndarray]
    targets: np.ndarray | list[np.ndarray]


def check_length(task: str, length: int, least: int) -> None:
    """Raise unless the task has examples of this length."""
    if length < least:
        raise SettingsError(f"{task} needs sequences of at least {least} steps, got {length}")


def read_then_answer(letters: np.ndarray, answers: np.ndarray, blank: int) -> GeneratedExamples:
    """What is read while answering, and said while reading, is `blank`."""
    return GeneratedExamples(
        np.concatenate([letters, np.full_like(answers, blank)], axis=1),
        np.concatenate([np.full_like(letters, blank), answers], axis=1),
    )
