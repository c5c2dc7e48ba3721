"""Definition of `CRF`, a linear-chain conditional random field (Lafferty et al. 2001), and its predictions.

A path of tags y has, for emission scores s `[T, K]`, the score

    S(y) = start[y_1] + Σ_t s[t, y_t] + Σ_t transitions[y_{t−1}, y_t] + end[y_T]

and the probability exp S(y) / Σ_{y'} exp S(y') (Collobert et al. 2011, §3.4.2; Lample et al. 2016, §2.2). Sums over
paths are exact, by the forward algorithm (Rabiner 1989, §III), here in float64; the best path is
`stepscan.decoding.viterbi`. `stepscan.patterns.crf` has the likelihood with gradients.

Dimension letters: B batch, T time, K tags.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stepscan.backends.batches import SCORES, Array, Batch, as_arrays
from stepscan.decoding.transitions import FORBIDDEN, AllowedTransitions, allowed_transitions, check_forbidden
from stepscan.decoding.viterbi import viterbi
from stepscan.definitions.definition import Definition, Part, Weight
from stepscan.definitions.kinds import Forbidden, Size


@dataclass(eq=False, repr=False)
class CRF(Definition):
    """The transition scores of a linear-chain CRF, with those of first and last tags; see `stepscan.CRF`.

    Predictions are arrays; emission scores are a batch `[B, T, K]` of arrays or of tensors.
    """

    tags: Size
    forbidden: Forbidden = ()

    def derive(self) -> None:
        check_forbidden(self.tags, self.forbidden)

    def parts(self) -> dict[str, Part | None]:
        tags = self.tags
        return {"transitions": Weight((tags, tags)), "start": Weight((tags,)), "end": Weight((tags,))}

    @cached_property
    def masks(self) -> AllowedTransitions:
        """Which transitions are allowed."""
        return allowed_transitions(self.tags, self.forbidden)

    def path_scores(self) -> tuple[Array, Array, Array]:
        """Transitions `[K, K]` (from, to), start `[K]` and end `[K]` as arrays, `FORBIDDEN` where a transition is."""
        weights = (self.ops.to_array(weight) for weight in (self.transitions, self.start, self.end))
        masked = [
            np.where(mask, weight, np.float32(FORBIDDEN)) for mask, weight in zip(self.masks, weights, strict=True)
        ]
        return masked[0], masked[1], masked[2]

    def best_paths(self, scores: Any) -> Array:
        """The most probable path of each row, `[B, T]` (Viterbi algorithm)."""
        scores = as_arrays(scores)
        return viterbi(scores.zeroed().data, scores.lengths, *self.path_scores())

    def marginals(self, scores: Any) -> Array:
        """The marginal probability of each tag at each item, `[B, T, K]` (forward–backward algorithm)."""
        scores = as_arrays(scores).zeroed()
        transitions, start, end = self.path_scores()
        alpha = _forward(scores, transitions, start)
        beta = Batch(_forward(scores.reversed(), transitions.T, end), scores.lengths).reversed().data
        log_marginals = alpha + beta - scores.data
        marginals = np.exp(log_marginals - log_marginals.max(axis=2, keepdims=True))
        normalised = (marginals / marginals.sum(axis=2, keepdims=True)).astype(scores.data.dtype)
        return Batch(normalised, scores.lengths).zeroed().data

    def log_normaliser(self, scores: Any) -> Array:
        """log Σ exp S over all paths, `[B]`; 0 for a sequence of length 0."""
        scores = as_arrays(scores)
        transitions, start, end = self.path_scores()
        alpha = Batch(_forward(scores, transitions, start), scores.lengths).last()
        return np.where(scores.lengths > 0, _logsumexp(alpha + end), 0)

    def log_probability(self, scores: Any, tags: Array) -> Array:
        """Log-probability `[B]` of the paths `tags [B, T]`; 0 for an empty path, −∞ for a forbidden one."""
        scores = as_arrays(scores)
        mask = scores.mask
        if not mask.any():
            return np.zeros(len(mask))
        transitions, start, end = self.path_scores()
        path = np.where(mask, tags, 0)
        items = np.take_along_axis(scores.data, path[:, :, None], axis=2)[:, :, 0].astype(np.float64)
        items[:, 1:] += transitions[path[:, :-1], path[:, 1:]]
        items[:, 0] += start[path[:, 0]]
        allowed = self.masks
        steps = [allowed.start[path[:, :1]], allowed.transitions[path[:, :-1], path[:, 1:]]]
        is_allowed = np.concatenate(steps, axis=1).all(axis=1, where=mask)
        last = Batch(path, scores.lengths).last()
        total = np.where(mask, items, 0).cumsum(axis=1)[:, -1] + end[last]
        total = np.where(scores.lengths > 0, total - self.log_normaliser(scores), 0)
        return np.where(is_allowed & (allowed.end[last] | (scores.lengths == 0)), total, -np.inf)


def _forward(scores: Batch, transitions: Array, start: Array) -> Array:
    """The forward variables α: log Σ exp S over all paths up to an item that end in a tag, `[B, T, K]`."""
    data = scores.data.astype(np.float64)
    into = np.ascontiguousarray(transitions.T, dtype=np.float64)  # [to, from]: sums run over the last dimension
    alpha = np.empty_like(data)
    for t in range(data.shape[1]):
        predicted = start if t == 0 else _transition(alpha[:, t - 1], into)
        alpha[:, t] = predicted + data[:, t]
    return alpha


def _transition(alpha: Array, into: Array) -> Array:
    """`log Σ_i exp(alpha[b, i] + into[j, i])`, `[B, K]`; at most `SCORES` of the `[B, K, K]` terms at a time."""
    tags = max(1, min(len(into), SCORES // len(into)))
    rows = max(1, SCORES // (tags * len(into)))
    log_sums = np.empty_like(alpha)
    for row in range(0, len(alpha), rows):
        for tag in range(0, len(into), tags):
            terms = alpha[row : row + rows, None] + into[tag : tag + tags]
            log_sums[row : row + rows, tag : tag + tags] = _logsumexp(terms)
    return log_sums


def _logsumexp(values: Array) -> Array:
    """`log Σ exp` over the last dimension."""
    maximum = values.max(axis=-1, keepdims=True)
    return maximum[..., 0] + np.log(np.exp(values - maximum).sum(axis=-1))
