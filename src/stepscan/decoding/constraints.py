"""Constraints and penalties: wrappers of step functions, for sampling and beam search.

What a wrapper must remember of each row (its tokens, its length) is part of the state, so that it is reordered with the
beams, and dropped with rows that end.
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

_LEAST_COVERAGE = 1e-9  # of an item without attention, so that the logarithm is finite


class WrappedState(NamedTuple):
    """The state of a step function, and what its wrapper remembers of each row, `[N, …]`."""

    inner: State
    memory: Array


def without_tokens(step: StepFunction, tokens: Sequence[int]) -> StepFunction:
    """A step function that never allows `tokens`."""
    forbidden = list(tokens)

    def forbid(read: Array, state: State) -> tuple[Array, State]:
        scores, state = step(read, state)
        scores = np.array(scores)  # a copy: the caller's are not changed
        scores[:, forbidden] = -np.inf
        return scores, state

    return forbid


def with_repetition_penalty(
    step: StepFunction, state: State, seen: Array, penalty: float
) -> tuple[StepFunction, State]:
    """A step function that makes tokens less likely that a row has already (Keskar et al. 2019, §4.1).

    The log-probabilities of these tokens, which are never above 0, are multiplied by the penalty.

    Args:
        step: a step function.
        state: of N rows.
        seen: which tokens each row has already, `[N, V]` of bool.
        penalty: above 1 makes repetition less likely; 1 is off.

    Returns:
        the step function and its initial state.

    Raises:
        SettingsError: the penalty is not a finite number above 0.
    """
    if not is_within(penalty, 0) or penalty == 0:
        raise SettingsError(f"repetition_penalty: expected a finite number above 0 (1 is off), got {penalty!r}")

    def penalise(read: Array, state: WrappedState) -> tuple[Array, WrappedState]:
        scores, inner = step(read, state.inner)
        seen = state.memory.copy()
        seen[np.arange(len(read)), read] = True
        scores = np.asarray(scores, dtype=np.float64)
        best = scores.max(axis=-1, keepdims=True)
        log_probabilities = scores - best - np.log(np.exp(scores - best).sum(axis=-1, keepdims=True))
        return np.where(seen, log_probabilities * penalty, log_probabilities), WrappedState(inner, seen)

    return penalise, WrappedState(state, np.asarray(seen, dtype=bool))


def with_minimum_length(
    step: StepFunction, state: State, rows: int, stop: int, minimum: int
) -> tuple[StepFunction, State]:
    """A step function that does not allow `stop` before a row has `minimum` tokens.

    Args:
        step: a step function.
        state: of N rows.
        rows: N.
        stop: the symbol that ends a row.
        minimum: tokens of a row, the stop symbol not included.

    Returns:
        the step function and its initial state.

    Raises:
        SettingsError: the minimum is not a whole number of 0 or more.
    """
    minimum = checked_whole(minimum, "minimum_length")

    def lengthen(read: Array, state: WrappedState) -> tuple[Array, WrappedState]:
        scores, inner = step(read, state.inner)
        scores = np.array(scores)
        scores[state.memory < minimum, stop] = -np.inf
        return scores, WrappedState(inner, state.memory + 1)

    return lengthen, WrappedState(state, np.zeros(rows, dtype=np.int64))


def with_coverage_penalty(
    step: StepFunction, state: State, attention: Callable[[State], Array], lengths: Array, penalty: float
) -> tuple[StepFunction, State, Callable[[WrappedState], Array]]:
    """A step function, and the bonus that ranks hypotheses lower if they do not attend to all of the source.

    The bonus is `penalty · Σ_s log(min(Σ_t attention_ts, 1))` (Wu et al. 2016, https://arxiv.org/abs/1609.08144,
    eq. 14).

    Args:
        step: a step function.
        state: of N rows.
        attention: from a state to the attention weights of the step that made it, `[N, S]`.
        lengths: of the sources `[N]`.
        penalty: beta in the equation; 0 is off.

    Returns:
        the step function, its initial state, and the `bonus` for `beam_search`.

    Raises:
        SettingsError: the penalty is not a finite number of 0 or more.
    """
    if not is_within(penalty, 0):
        raise SettingsError(f"coverage_penalty: expected a finite number, 0 or more, got {penalty!r}")

    def cover(read: Array, state: WrappedState) -> tuple[Array, WrappedState]:
        scores, inner = step(read, state.inner)
        return scores, WrappedState(inner, state.memory + attention(inner))

    def bonus(state: WrappedState) -> Array:
        return penalty * np.log(np.clip(state.memory, _LEAST_COVERAGE, 1)).sum(axis=1)

    size = attention(state).shape[1]
    padding = (np.arange(size) >= np.asarray(lengths)[:, None]).astype(np.float64)  # counts as covered
    return cover, WrappedState(state, padding), bonus
