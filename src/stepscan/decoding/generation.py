"""Sampled continuations of rows, from any step function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike

from stepscan.decoding.beam import StepFunction
from stepscan.decoding.checks import checked_whole
from stepscan.decoding.sampling import Array, Sampler
from stepscan.errors import SettingsError
from stepscan.state import State, select


def row_generators(seed: int | None, rows: int) -> list[np.random.Generator]:
    """One random number generator per row. That of row i does not depend on the number of rows.

    Args:
        seed: None: from the operating system.
        rows: N.

    Raises:
        SettingsError: the seed is not a whole number of 0 or more.
    """
    if seed is not None:
        checked_whole(seed, "seed")
    return [np.random.default_rng(sequence) for sequence in np.random.SeedSequence(seed).spawn(rows)]


def stream(
    step: StepFunction,
    state: State,
    tokens: ArrayLike,
    *,
    sampler: Sampler,
    random: Sequence[np.random.Generator],
    stop: int | None = None,
) -> Iterator[tuple[Array, State]]:
    """Sample tokens step by step, each the input of the next step, until every row has drawn `stop`.

    Args:
        step: see `stepscan.decoding`.
        state: of N rows.
        tokens: the token that each row reads first, `[N]`.
        sampler: draws tokens.
        random: one random number generator per row (`row_generators`).
        stop: the symbol that ends a row; None: rows do not end.

    Yields:
        the tokens drawn `[N]`, and the state that has not yet read them, so that another stream can continue with both.
        Rows that have drawn `stop` are dropped from the next yield on; the others keep their order.

    Raises:
        SettingsError: there is not one random number generator per row.
        StepscanError: scores have NaN or +inf, or forbid every token of a row.
    """
    tokens = np.asarray(tokens, dtype=np.int64)
    if len(random) != len(tokens):
        raise SettingsError(
            f"stream: expected one random number generator for each of {len(tokens)} rows, got {len(random)}"
        )
    while len(tokens):
        scores, state = step(tokens, state)
        tokens = sampler.pick(scores, np.array([generator.random() for generator in random]))
        yield tokens, state
        running = np.flatnonzero(_is_running(tokens, stop))
        if len(running) < len(tokens):
            tokens, state, random = tokens[running], select(state, running), [random[row] for row in running.tolist()]


def generate(
    step: StepFunction,
    state: State,
    start: ArrayLike,
    *,
    length: int,
    sampler: Sampler,
    seed: int | None = None,
    stop: int | None = None,
    until: Callable[[list[int]], bool] | None = None,
) -> list[list[int]]:
    """Sample a continuation of each row.

    A row's random numbers depend only on `seed` and its index. So its tokens do not depend on the other rows (if those
    of `step` do not), and a greater length only adds tokens.

    Args:
        step: see `stepscan.decoding`.
        state: of N rows.
        start: the token that each row reads first, `[N]`.
        length: the largest number of tokens per row.
        sampler: draws tokens.
        seed: of the random numbers; None: from the operating system.
        stop: the symbol that ends a row; None: rows do not end.
        until: from the tokens of a row to whether they are enough; generation ends when this is so for all rows.

    Returns:
        the tokens of each row, without `stop`.

    Raises:
        SettingsError: the length or the seed is not a whole number of 0 or more.
        StepscanError: scores have NaN or +inf, or forbid every token of a row.
    """
    length = checked_whole(length, "length")
    start = np.asarray(start, dtype=np.int64)
    texts: list[list[int]] = [[] for _ in start]
    rows = np.arange(len(start))
    steps = stream(step, state, start, sampler=sampler, random=row_generators(seed, len(start)), stop=stop)
    for tokens, _ in islice(steps, length):
        running = _is_running(tokens, stop)
        rows = rows[running]
        for row, token in zip(rows.tolist(), tokens[running].tolist(), strict=True):
            texts[row].append(token)
        if until is not None and all(map(until, texts)):
            break
    return texts


def _is_running(tokens: Array, stop: int | None) -> Array:
    return np.full(len(tokens), True) if stop is None else tokens != stop
