"""Sampled and greedy continuations from any step function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike

from stepscan.decoding.beam import Hypothesis, StepFunction, beam_search
from stepscan.decoding.checks import checked_whole
from stepscan.decoding.sampling import Array, Sampler
from stepscan.errors import SettingsError
from stepscan.state import State, select


def row_randoms(seed: int | None, rows: int) -> list[np.random.Generator]:
    """A source of random numbers for each row, from one seed (None: a new one each time).

    Row i gets the same numbers however many rows there are.

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
    """Read a token a row, draw the next, and so on: without end, or until every row has drawn `stop`.

    Args:
        step: see `stepscan.decoding`.
        state: of N rows.
        tokens: what each row reads first, `[N]`.
        sampler: how to draw.
        random: where each row's numbers come from, one source a row (`row_randoms`).
        stop: the symbol that ends a row; None ends no row.

    Yields:
        The tokens drawn `[N]` and the state that has not yet read them, so that another stream can take over from both.
        A row that draws `stop` is there for the last time: after it, both hold only the other rows, in the same order.

    Raises:
        SettingsError: there is not one source of random numbers a row.
        StepscanError: scores have NaN or +inf, or forbid every token of a row.
    """
    tokens = np.asarray(tokens, dtype=np.int64)
    if len(random) != len(tokens):
        raise SettingsError(f"stream needs one source of random numbers a row, {len(tokens)}, but got {len(random)}")
    while len(tokens):
        scores, state = step(tokens, state)
        tokens = sampler.pick(scores, np.array([source.random() for source in random]))
        yield tokens, state
        going = np.flatnonzero(_going(tokens, stop))
        if len(going) < len(tokens):
            tokens, state, random = tokens[going], select(state, going), [random[row] for row in going.tolist()]


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
    """At most `length` sampled tokens for each row of `start` `[N]`, which holds the token that a row reads first.

    A row ends before `stop` and then leaves the batch. Every row draws its own numbers from `seed` and its place i in
    the batch, so the same seed, state and start at place i give the same tokens, whatever the other rows are and
    whenever they end, and a greater length only adds tokens. (So far as `step` itself treats rows alike in any batch.)

    Raises:
        SettingsError: the length or the seed is not a whole number of 0 or more.
        StepscanError: scores have NaN or +inf, or forbid every token of a row.
    """
    length = checked_whole(length, "length")
    start = np.asarray(start, dtype=np.int64)
    texts: list[list[int]] = [[] for _ in start]
    rows = np.arange(len(start))
    steps = stream(step, state, start, sampler=sampler, random=row_randoms(seed, len(start)), stop=stop)
    for tokens, _ in islice(steps, length):
        going = _going(tokens, stop)
        rows = rows[going]
        for row, token in zip(rows.tolist(), tokens[going].tolist(), strict=True):
            texts[row].append(token)
        if until is not None and all(map(until, texts)):
            break
    return texts


def greedy(
    step: StepFunction, state: State, start: ArrayLike, *, stop: int, maximum_length: ArrayLike
) -> list[Hypothesis]:
    """The most probable token at each step, for each row of `start`: a beam search of width 1, which see.

    For the tokens alone, or to go on without a stop symbol, `generate` with `Sampler(temperature=0)` does the same.
    """
    found = beam_search(step, state, start, width=1, stop=stop, maximum_length=maximum_length)
    return [hypotheses[0] for hypotheses in found]


def _going(tokens: Array, stop: int | None) -> Array:
    return np.full(len(tokens), True) if stop is None else tokens != stop
