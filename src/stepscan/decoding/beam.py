"""Beam search (Graves 2012, https://arxiv.org/abs/1211.3711) over any step function, for a batch of rows."""

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
    """A continuation that beam search found.

    Attributes:
        tokens: without the start and the stop symbol.
        log_probability: the natural logarithm of the probability of the tokens and the stop symbol (if any), given the
            start.
        score: ranks hypotheses: `log_probability` after the length penalty, plus the bonus.
        finished: whether it ended in the stop symbol, rather than at the maximum length.
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
    """Find the best continuations of each row.

    A hypothesis ends when its stop symbol is among the row's `width` best candidates. Hypotheses that have not ended at
    the maximum length are returned unfinished, if their score is good enough. A row leaves the batch as soon as no
    unfinished hypothesis can reach its n best any more. Among equal candidates, the one from the better beam comes
    first, then the lower token id; among equal scores, the hypothesis that ended earlier. The result of a row does not
    depend on the other rows.

    Args:
        step: see `stepscan.decoding`.
        state: of B rows.
        start: the token that each row reads first, `[B]`.
        width: the beam width, hypotheses per row; 1 is greedy search.
        stop: the symbol that ends a hypothesis.
        maximum_length: the largest number of symbols of a hypothesis, the stop symbol included; one for all rows, or
            one per row `[B]`.
        length_penalty: alpha in `score = log_probability / ((5 + length) / 6) ** alpha`, where length counts the stop
            symbol (Wu et al. 2016, https://arxiv.org/abs/1609.08144, eq. 14); 0 ranks by probability alone.
        bonus: a function from the state to a value per row `[N]`, never above 0, that is added to the score of a
            hypothesis that ends; the state is the one from which its last token was chosen.
        n_best: hypotheses to return per row, at most `width`.

    Returns:
        the hypotheses of each row, best first: at most `n_best`, fewer if no more are possible.

    Raises:
        SettingsError: width, n_best or a maximum length is less than 1, n_best is more than width, a maximum length
            is not a whole number, their number is not B, or the length penalty is negative.
        StepscanError: scores have NaN or +inf, or forbid every token of a row.
    """
    start = np.asarray(start, dtype=np.int64)
    if not 1 <= n_best <= width:
        raise SettingsError(f"beam search: expected 1 <= n_best <= width, got n_best {n_best} and width {width}")
    if not is_within(length_penalty, 0):
        raise SettingsError(f"length_penalty: expected a finite number, 0 or more, got {length_penalty!r}")
    pools = _Pools([[] for _ in start], n_best, length_penalty, _maximum_lengths(maximum_length, len(start)))
    beams, tokens = _Beams.first(len(start)), start
    while len(beams.rows):
        scores, state = step(tokens, state)
        extra = np.zeros(len(scores)) if bonus is None else bonus(state)
        candidates = beams.extend(log_softmax(scores), 2 * width)  # each beam has one stop: `width` others are left
        stopped = candidates.last == stop
        pools.add(candidates, stopped & (np.arange(stopped.shape[1]) < width), extra, finished=True)
        beams = candidates.best(~stopped, width)
        full = pools.maximum_lengths[beams.rows] == beams.length
        pools.add(beams, np.broadcast_to(full[:, None], beams.last.shape), extra, finished=False)
        beams = select(beams, np.flatnonzero(~full & pools.can_improve(beams)))
        tokens = beams.last.ravel()
        if not np.array_equal(beams.origins.ravel(), np.arange(len(scores))):
            state = select(state, beams.origins.ravel())
    return pools.hypotheses


def _maximum_lengths(maximum_length: ArrayLike, rows: int) -> Array:
    lengths = np.asarray(maximum_length)
    if lengths.shape not in ((), (rows,)):
        raise SettingsError(f"maximum_length: expected one number, or one for each of {rows} rows, got {lengths.shape}")
    if not np.issubdtype(lengths.dtype, np.integer) or (lengths < 1).any():
        raise SettingsError(f"maximum_length: expected whole numbers, 1 or more, got {lengths}")
    return np.broadcast_to(lengths, rows)


class _Beams(NamedTuple):
    """The K unfinished hypotheses of each of M rows, best first; a state tree, so that `select` drops rows.

    Attributes:
        rows: `[M]`, the rows of the batch that are not done.
        origins: `[M, K]`, the row of the last step's state that a hypothesis extends.
        tokens: `[M, K, length]`.
        log_probability: `[M, K]`; -inf marks an empty slot.
    """

    rows: Array
    origins: Array
    tokens: Array
    log_probability: Array

    @classmethod
    def first(cls, rows: int) -> _Beams:
        """One empty hypothesis per row, so that the first step has no duplicates."""
        origins = np.arange(rows)[:, None]
        return cls(np.arange(rows), origins, np.empty((rows, 1, 0), dtype=np.int64), np.zeros((rows, 1)))

    @property
    def length(self) -> int:
        """The number of tokens of each hypothesis."""
        return self.tokens.shape[-1]

    @property
    def last(self) -> Array:
        """The last token of each hypothesis, `[M, K]`."""
        return self.tokens[:, :, -1]

    def extend(self, log_probabilities: Array, count: int) -> _Beams:
        """The `count` best hypotheses of each row with one more token, given those of all tokens `[M * K, V]`."""
        rows, width = self.log_probability.shape
        vocabulary = log_probabilities.shape[-1]
        total = (self.log_probability.reshape(-1, 1) + log_probabilities).reshape(rows, width * vocabulary)
        chosen = _argbest(total, count)
        beams, tokens = np.divmod(chosen, vocabulary)
        prefixes = np.take_along_axis(self.tokens, beams[:, :, None], axis=1)
        return _Beams(
            self.rows,
            beams + width * np.arange(rows)[:, None],
            np.concatenate([prefixes, tokens[:, :, None]], axis=-1),
            np.take_along_axis(total, chosen, axis=1),
        )

    def best(self, allowed: Array, count: int) -> _Beams:
        """The `count` best of those `allowed` `[M, K]`; if there are fewer, empty slots repeat the first."""
        log_probability = np.where(allowed, self.log_probability, -np.inf)
        slots = np.argsort(-log_probability, axis=1, kind="stable")[:, :count]
        log_probability = np.take_along_axis(log_probability, slots, axis=1)
        # An empty slot must still be a valid input to `step`: its scores are computed, but never used.
        slots = np.where(np.isfinite(log_probability), slots, slots[:, :1])
        return _Beams(
            self.rows,
            np.take_along_axis(self.origins, slots, axis=1),
            np.take_along_axis(self.tokens, slots[:, :, None], axis=1),
            log_probability,
        )


class _Pools(NamedTuple):
    """The best hypotheses of every row so far that have ended.

    Attributes:
        hypotheses: B lists of at most n_best, best first.
        n_best, length_penalty: see `beam_search`.
        maximum_lengths: `[B]`.
    """

    hypotheses: list[list[Hypothesis]]
    n_best: int
    length_penalty: float
    maximum_lengths: Array

    def add(self, beams: _Beams, chosen: Array, extra: Array, *, finished: bool) -> None:
        """Add the `chosen` hypotheses `[M, K]` that are among the n best of their rows.

        Args:
            beams: all hypotheses.
            chosen: which of them have ended.
            extra: added to the scores, by row of the last step's state.
            finished: whether their last token is the stop symbol.
        """
        for index in zip(*np.nonzero(chosen & np.isfinite(beams.log_probability)), strict=True):
            pool = self.hypotheses[beams.rows[index[0]]]
            log_probability = float(beams.log_probability[index])
            tokens = beams.tokens[index].tolist()
            score = log_probability / float(self._penalty(beams.length)) + float(extra[beams.origins[index]])
            pool.append(Hypothesis(tokens[:-1] if finished else tokens, log_probability, score, finished))
            pool.sort(key=lambda hypothesis: -hypothesis.score)  # stable: among equals, the earlier stays first
            del pool[self.n_best :]

    def can_improve(self, beams: _Beams) -> Array:
        """Whether the best hypothesis of a row can still be among its n best, `[M]`: if all further tokens up to the
        maximum length had probability 1."""
        best_score = beams.log_probability[:, 0] / self._penalty(self.maximum_lengths[beams.rows])
        pools = (self.hypotheses[row] for row in beams.rows)
        worst = np.array([pool[-1].score if len(pool) == self.n_best else -np.inf for pool in pools])
        return best_score > worst

    def _penalty(self, length: ArrayLike) -> Array:
        return ((5 + np.asarray(length)) / 6) ** self.length_penalty


def _argbest(values: Array, count: int) -> Array:
    """The indices of each row's `count` largest values `[N, L]`, largest first, among equals the leftmost first."""
    count = min(count, values.shape[-1])
    threshold = np.partition(values, -count, axis=-1)[:, -count, None]
    indices = np.nonzero(largest(values, count, threshold))[1].reshape(-1, count)
    order = np.argsort(-np.take_along_axis(values, indices, axis=1), axis=1, kind="stable")
    return np.take_along_axis(indices, order, axis=1)
