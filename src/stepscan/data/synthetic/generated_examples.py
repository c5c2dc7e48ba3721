"""The examples of generated tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stepscan.errors import SettingsError

Seed = int | Sequence[int]  # for `numpy.random.default_rng`: the same seed gives the same examples


class GeneratedExamples(NamedTuple):
    """The inputs and targets of N sequences; each is one array if all sequences have the same length.

    Attributes:
        inputs: ids `[T]` per sequence, or numbers `[T, D]`.
        targets: one per sequence, `[N]`, or one per step, `[T]` per sequence.
    """

    inputs: np.ndarray | list[np.ndarray]
    targets: np.ndarray | list[np.ndarray]


def check_length(task: str, length: int, least: int) -> None:
    """Check the length of a task's sequences.

    Raises:
        SettingsError: it is less than `least`.
    """
    if length < least:
        raise SettingsError(f"{task}: expected sequences of at least {least} steps, got {length}")


def read_then_answer(letters: np.ndarray, answers: np.ndarray, blank: int) -> GeneratedExamples:
    """Examples that read all letters before they answer.

    Args:
        letters: `[N, T]`, the inputs of the first T steps, whose targets are `blank`.
        answers: `[N, T]`, the targets of the next T steps, whose inputs are `blank`.
        blank: a symbol.

    Returns:
        inputs and targets `[N, 2·T]`.
    """
    return GeneratedExamples(
        np.concatenate([letters, np.full_like(answers, blank)], axis=1),
        np.concatenate([np.full_like(letters, blank), answers], axis=1),
    )
