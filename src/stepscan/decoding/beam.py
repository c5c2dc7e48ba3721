"""Beam search over any step function, for a batch of sources at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stepscan.decoding.checks import is_within
from stepscan.decoding.sampling import Array, largest, log_softmax
from stepscan.errors import SettingsError
from stepscan.state import State, select

StepFunction = Callable[[Array, State], tuple[Array, State]]  # (tokens [N], state) -> (scores [N, V], state)


class Hypothesis(NamedTuple):
    """One way to continue.

    Args:
        tokens: without the start and the stop symbol.
        log_probability: natural logarithm, of the tokens and the stop symbol (if any) given the start.
        score: what hypotheses are ranked by: `log_probability` after the length penalty.
        finished: whether it ended in the stop symbol, not at the maximum length.
    """

    tokens: list[int]
    log_probability: float
    score: float
    finished: bool


def beam_search(
    step: StepFunction,
    state: State,
    start: ArrayLike,
    *,
    width: int,
    stop: int,
    maximum_length: ArrayLike,
    length_penalty: float = 0.0,
    bonus: Callable[[State], Array] | None = None,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """The best continuations of each row, best first: at most `n_best`, fewer where no more are possible.

    Args:
        step: see `stepscan.decoding`; it must not change the state it is given.
        state: of B rows.
        start: the token that each row reads first, `[B]`.
        width: how many hypotheses a row keeps growing; 1 is greedy search.
        stop: the symbol that ends a hypothesis.
        maximum_length: the most symbols of a hypothesis, the stop symbol among them; one number, or one a row `[B]`.
        length_penalty: alpha in `score = log_probability / ((5 + length) / 6) ** alpha`, where length counts the stop
            symbol (Wu et al. 2016, https://arxiv.org/abs/1609.08144, eq. 14); 0 ranks by probability alone.
        bonus: what joins the score of a hypothesis that ends, `[N]`, of the state that its last token was chosen from;
            never above 0. It ranks what has ended, not what still grows.
        n_best: how many hypotheses to return for a row, at most `width`.

    A hypothesis ends when its stop symbol is among the row's `width` best candidates. Those still growing at the
    maximum length compete as they are, unfinished, by score alone. A row leaves the batch as soon as none that grows
    can reach its n best any more, whatever follows. Of equal candidates the one from the better beam goes first, then
    the lower token id; of equal scores the hypothesis that ended earlier. A row's result does not depend on the other
    rows.

    Raises:
        SettingsError: width, n_best or a maximum length is less than 1, n_best is more than width, a maximum length
            is not a whole number, there is not one a row, or the length penalty is negative.
        StepscanError: scores have NaN or +inf, or forbid every token of a row.
    """
    start = np.asarray(start, dtype=np.int64)
    if not 1 <= n_best <= width:
        raise SettingsError(f"beam search needs 1 <= n_best <= width, but n_best is {n_best} and width is {width}")
    if not is_within(length_penalty, 0):
        raise SettingsError(f"length_penalty must be a finite number, 0 or more, but is {length_penalty!r}")
    pools = _Pools([[] for _ in start], n_best, length_penalty, _maximum_lengths(maximum_length, len(start)))
    beams, tokens = _Beams.first(len(start)), start
    while len(beams.rows):
        scores, state = step(tokens, state)
        extra = np.zeros(len(scores)) if bonus is None else bonus(state)
        candidates = beams.grow(log_softmax(scores), 2 * width)  # each beam has one stop: `width` are left to grow
        stopped = candidates.last == stop
        pools.add(candidates, stopped & (np.arange(stopped.shape[1]) < width), extra, finished=True)
        beams = candidates.best(~stopped, width)
        full = pools.maximum_lengths[beams.rows] == beams.length
        pools.add(beams, np.broadcast_to(full[:, None], beams.last.shape), extra, finished=False)
        beams = select(beams, np.flatnonzero(~full & pools.open_to(beams)))
        tokens = beams.last.ravel()
        if not np.array_equal(beams.origins.ravel(), np.arange(len(scores))):
            state = select(state, beams.origins.ravel())
    return pools.hypotheses


def _maximum_lengths(maximum_length: ArrayLike, rows: int) -> Array:
    lengths = np.asarray(maximum_length)
    if lengths.shape not in ((), (rows,)):
        raise SettingsError(f"maximum_length must be one number or {rows}, one a row, but has shape {lengths.shape}")
    if not np.issubdtype(lengths.dtype, np.integer) or (lengths < 1).any():
        raise SettingsError(f"maximum_length must be whole numbers, 1 or more, but is {lengths}")
    return np.broadcast_to(lengths, rows)


class _Beams(NamedTuple):
    """Hypotheses of the M rows still at work, K a row, best first; a state tree, so `select` drops rows."""

    rows: Array  # [M]: which row of the batch
    origins: Array  # [M, K]: which row of the last step's state it grew from
    tokens: Array  # [M, K, length]
    log_probability: Array  # [M, K]; -inf is an empty place

    @classmethod
    def first(cls, rows: int) -> _Beams:
        """One empty hypothesis a row, so that the first step makes no duplicates."""
        origins = np.arange(rows)[:, None]
        return cls(np.arange(rows), origins, np.empty((rows, 1, 0), dtype=np.int64), np.zeros((rows, 1)))

    @property
    def length(self) -> int:
        return self.tokens.shape[-1]

    @property
    def last(self) -> Array:
        return self.tokens[:, :, -1]

    def grow(self, log_probabilities: Array, count: int) -> _Beams:
        """The `count` best continuations of each row by one token, given all of them `[M * K, V]`."""
        rows, width = self.log_probability.shape
        vocabulary = log_probabilities.shape[-1]
        total = (self.log_probability.reshape(-1, 1) + log_probabilities).reshape(rows, width * vocabulary)
        chosen = _best(total, count)
        beams, tokens = np.divmod(chosen, vocabulary)
        prefixes = np.take_along_axis(self.tokens, beams[:, :, None], axis=1)
        return _Beams(
            self.rows,
            beams + width * np.arange(rows)[:, None],
            np.concatenate([prefixes, tokens[:, :, None]], axis=-1),
            np.take_along_axis(total, chosen, axis=1),
        )

    def best(self, allowed: Array, count: int) -> _Beams:
        """The `count` best of those `allowed` `[M, K]`; where there are fewer, empty places repeat the first."""
        log_probability = np.where(allowed, self.log_probability, -np.inf)
        places = np.argsort(-log_probability, axis=1, kind="stable")[:, :count]
        log_probability = np.take_along_axis(log_probability, places, axis=1)
        # An empty place must still be a sound input to `step`: its scores are computed, though never used.
        places = np.where(np.isfinite(log_probability), places, places[:, :1])
        return _Beams(
            self.rows,
            np.take_along_axis(self.origins, places, axis=1),
            np.take_along_axis(self.tokens, places[:, :, None], axis=1),
            log_probability,
        )


class _Pools(NamedTuple):
    """The best complete hypotheses of every row so far."""

    hypotheses: list[list[Hypothesis]]  # B lists of at most n_best, best first
    n_best: int
    length_penalty: float
    maximum_lengths: Array  # [B]

    def add(self, beams: _Beams, chosen: Array, extra: Array, *, finished: bool) -> None:
        """Let the `chosen` `[M, K]` compete for the places; their last token is the stop symbol if `finished`, and
        `extra`, by rows of the last step's state, joins their score."""
        for place in zip(*np.nonzero(chosen & np.isfinite(beams.log_probability)), strict=True):
            pool = self.hypotheses[beams.rows[place[0]]]
            log_probability = float(beams.log_probability[place])
            tokens = beams.tokens[place].tolist()
            score = log_probability / float(self._penalty(beams.length)) + float(extra[beams.origins[place]])
            pool.append(Hypothesis(tokens[:-1] if finished else tokens, log_probability, score, finished))
            pool.sort(key=lambda hypothesis: -hypothesis.score)  # stable: of equals, the earlier stays first
            del pool[self.n_best :]

    def open_to(self, beams: _Beams) -> Array:
        """Whether the best beam of a row could still earn a place, `[M]`: by certain steps to the maximum length."""
        best_score = beams.log_probability[:, 0] / self._penalty(self.maximum_lengths[beams.rows])
        pools = (self.hypotheses[row] for row in beams.rows)
        worst = np.array([pool[-1].score if len(pool) == self.n_best else -np.inf for pool in pools])
        return best_score > worst

    def _penalty(self, length: ArrayLike) -> Array:
        return ((5 + np.asarray(length)) / 6) ** self.length_penalty


def _best(values: Array, count: int) -> Array:
    """The places of each row's `count` largest values `[N, L]`, largest first, of equals the leftmost first."""
    count = min(count, values.shape[-1])
    threshold = np.partition(values, -count, axis=-1)[:, -count, None]
    places = np.nonzero(largest(values, count, threshold))[1].reshape(-1, count)
    order = np.argsort(-np.take_along_axis(values, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)
