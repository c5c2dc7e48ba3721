"""What a generator may say: wrappers that make one step function of another, for sampling and beam search alike.

What a wrapper must remember of a row (what it has said, how long it is) joins the state, so that reordering beams and
dropping rows that ended need nothing of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stepscan.decoding.beam import Step
from stepscan.decoding.sampling import Array
from stepscan.errors import SettingsError
from stepscan.state import State


class Remembered(NamedTuple):
    """A state and what a wrapper remembers of each row."""

    inner: State
    of_row: Array  # [N, …]


def forbidding(step: Step, tokens: Sequence[int]) -> Step:
    """The same step function, but `tokens` are never chosen."""
    forbidden = list(tokens)

    def forbid(read: Array, state: State) -> tuple[Array, State]:
        scores, state = step(read, state)
        scores = np.array(scores)  # a copy: the caller's stay as they are
        scores[:, forbidden] = -np.inf
        return scores, state

    return forbid


def penalising(step: Step, state: State, said: Array, penalty: float) -> tuple[Step, State]:
    """Tokens that a row has said become less likely (Keskar et al. 2019, §4.1).

    Their log-probabilities, which are never above 0, are multiplied by `penalty`; above 1 they are said less.

    Args:
        step: a step function.
        state: of N rows.
        said: which tokens each row has said already, `[N, V]` of bool.
        penalty: 1 changes nothing.

    Returns:
        The step function and the state to begin with.

    Raises:
        SettingsError: the penalty is not a finite number above 0.
    """
    if not 0 < penalty < np.inf:
        raise SettingsError(f"repetition_penalty must be a finite number above 0 (1 is off), but is {penalty}")

    def penalise(read: Array, state: Remembered) -> tuple[Array, Remembered]:
        scores, inner = step(read, state.inner)
        said = state.of_row.copy()
        said[np.arange(len(read)), read] = True
        scores = np.asarray(scores, dtype=np.float64)
        best = scores.max(axis=-1, keepdims=True)
        likely = scores - best - np.log(np.exp(scores - best).sum(axis=-1, keepdims=True))
        return np.where(said, likely * penalty, likely), Remembered(inner, said)

    return penalise, Remembered(state, np.asarray(said, dtype=bool))


def at_least(step: Step, state: State, rows: int, stop: int, minimum: int) -> tuple[Step, State]:
    """`stop` is not chosen before a row has `minimum` tokens.

    Returns:
        The step function and the state to begin with.

    Raises:
        SettingsError: the minimum is negative.
    """
    if minimum < 0:
        raise SettingsError(f"minimum_length must be 0 or more, but is {minimum}")

    def lengthen(read: Array, state: Remembered) -> tuple[Array, Remembered]:
        scores, inner = step(read, state.inner)
        scores = np.array(scores)
        scores[state.of_row < minimum, stop] = -np.inf
        return scores, Remembered(inner, state.of_row + 1)

    return lengthen, Remembered(state, np.zeros(rows, dtype=np.int64))
