"""What a generator may say: wrappers that make one step function of another, for sampling and beam search alike.

What a wrapper must remember of a row (what it has said, how long it is) joins the state, so that reordering beams and
dropping rows that ended need nothing of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from stepscan.decoding.beam import StepFunction
from stepscan.decoding.checks import checked_whole, is_within
from stepscan.decoding.sampling import Array
from stepscan.errors import SettingsError
from stepscan.state import State

_UNSEEN = 1e-9  # the least that attention to an item counts for, so that its logarithm is finite


class Remembered(NamedTuple):
    """A state and what a wrapper remembers of each row."""

    inner: State
    of_row: Array  # [N, …]


def forbidding(step: StepFunction, tokens: Sequence[int]) -> StepFunction:
    """The same step function, but `tokens` are never chosen."""
    forbidden = list(tokens)

    def forbid(read: Array, state: State) -> tuple[Array, State]:
        scores, state = step(read, state)
        scores = np.array(scores)  # a copy: the caller's stay as they are
        scores[:, forbidden] = -np.inf
        return scores, state

    return forbid


def penalising(step: StepFunction, state: State, said: Array, penalty: float) -> tuple[StepFunction, State]:
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
    if not is_within(penalty, 0) or penalty == 0:
        raise SettingsError(f"repetition_penalty must be a finite number above 0 (1 is off), but is {penalty!r}")

    def penalise(read: Array, state: Remembered) -> tuple[Array, Remembered]:
        scores, inner = step(read, state.inner)
        said = state.of_row.copy()
        said[np.arange(len(read)), read] = True
        scores = np.asarray(scores, dtype=np.float64)
        best = scores.max(axis=-1, keepdims=True)
        likely = scores - best - np.log(np.exp(scores - best).sum(axis=-1, keepdims=True))
        return np.where(said, likely * penalty, likely), Remembered(inner, said)

    return penalise, Remembered(state, np.asarray(said, dtype=bool))


def at_least(step: StepFunction, state: State, rows: int, stop: int, minimum: int) -> tuple[StepFunction, State]:
    """`stop` is not chosen before a row has `minimum` tokens.

    Returns:
        The step function and the state to begin with.

    Raises:
        SettingsError: the minimum is not a whole number of 0 or more.
    """
    minimum = checked_whole(minimum, "minimum_length")

    def lengthen(read: Array, state: Remembered) -> tuple[Array, Remembered]:
        scores, inner = step(read, state.inner)
        scores = np.array(scores)
        scores[state.of_row < minimum, stop] = -np.inf
        return scores, Remembered(inner, state.of_row + 1)

    return lengthen, Remembered(state, np.zeros(rows, dtype=np.int64))


def covering(
    step: StepFunction, state: State, look: Callable[[State], Array], lengths: Array, penalty: float
) -> tuple[StepFunction, State, Callable[[Remembered], Array]]:
    """Hypotheses that leave items of the source unread rank lower (Wu et al. 2016, eq. 14).

    Args:
        step: a step function.
        state: of N rows.
        look: where the step before a state looked, `[N, S]`, shares of 1.
        lengths: of the rows' sources `[N]`.
        penalty: beta in `beta * sum_s log(min(sum_t look_ts, 1))`, which joins the score.

    Returns:
        The step function, the state to begin with, and the `bonus` that `beam_search` takes.

    Raises:
        SettingsError: the penalty is not a finite number, 0 or more.
    """
    if not is_within(penalty, 0):
        raise SettingsError(f"coverage_penalty must be a finite number, 0 or more, but is {penalty!r}")

    def cover(read: Array, state: Remembered) -> tuple[Array, Remembered]:
        scores, inner = step(read, state.inner)
        return scores, Remembered(inner, state.of_row + look(inner))

    def bonus(state: Remembered) -> Array:
        return penalty * np.log(np.clip(state.of_row, _UNSEEN, 1)).sum(axis=1)

    size = look(state).shape[1]
    past_the_end = (np.arange(size) >= np.asarray(lengths)[:, None]).astype(np.float64)  # nothing to read there
    return cover, Remembered(state, past_the_end), bonus
