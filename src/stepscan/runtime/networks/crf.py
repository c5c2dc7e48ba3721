"""Linear-chain conditional random field without torch (Lafferty et al. 2001); see `stepscan.patterns.crf`.

Sums over paths are in float64. Dimension letters: B batch, T time, K tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.decoding.transitions import FORBIDDEN, allowed_transitions
from stepscan.decoding.viterbi import viterbi
from stepscan.errors import ModelFormatError
from stepscan.runtime.batches import SCORES, Array, Batch
from stepscan.runtime.networks.tensors import Tensors
from stepscan.runtime.networks.transducer import Transducer


class CRF:
    """The transition scores of a linear-chain CRF, with those of first and last tags.

    Args:
        tensors: `transitions [K, K]` (from, to), `start` and `end [K]`.
        tags: K.
        forbidden: transitions `[from, to]` whose paths have probability exactly 0; `[-1, tag]` for a first tag,
            `[tag, -1]` for a last one.

    Raises:
        ModelFormatError: `forbidden` is invalid.
    """

    def __init__(self, tensors: Tensors, tags: int, forbidden: Sequence[Sequence[int]] = ()) -> None:
        try:
            self.allowed = allowed_transitions(tags, forbidden)
        except ValueError as error:
            raise ModelFormatError(str(error)) from None
        forbidden_score = np.float32(FORBIDDEN)
        self.transitions = np.where(self.allowed.transitions, tensors.array("transitions", tags, tags), forbidden_score)
        self.start = np.where(self.allowed.start, tensors.array("start", tags), forbidden_score)
        self.end = np.where(self.allowed.end, tensors.array("end", tags), forbidden_score)

    def best_paths(self, scores: Batch) -> Array:
        """The most probable path of each row, `[B, T]` (Viterbi algorithm)."""
        return viterbi(scores.zeroed().data, scores.lengths, self.transitions, self.start, self.end)

    def marginals(self, scores: Batch) -> Array:
        """The marginal probability of each tag at each item, `[B, T, K]` float32 (forward–backward algorithm)."""
        alpha = _forward(scores, self.transitions, self.start)
        beta = _reversed(Batch(_forward(_reversed(scores), self.transitions.T, self.end), scores.lengths)).data
        log_marginals = alpha + beta - scores.data
        marginals = np.exp(log_marginals - log_marginals.max(axis=2, keepdims=True))
        return (
            Batch((marginals / marginals.sum(axis=2, keepdims=True)).astype(np.float32), scores.lengths).zeroed().data
        )

    def log_partition(self, scores: Batch) -> Array:
        """log Σ exp S over all paths, `[B]`; 0 for a sequence of length 0."""
        alpha = Batch(_forward(scores, self.transitions, self.start), scores.lengths).last()
        return np.where(scores.lengths > 0, _logsumexp(alpha + self.end), 0)

    def log_likelihood(self, scores: Batch, tags: Array) -> Array:
        """Log-probability `[B]` of the paths `tags [B, T]`; 0 for an empty path, −∞ for a forbidden one."""
        mask = scores.mask
        if not mask.any():
            return np.zeros(len(mask))
        path = np.where(mask, tags, 0)
        path_scores = np.take_along_axis(scores.data, path[:, :, None], axis=2)[:, :, 0].astype(np.float64)
        path_scores[:, 1:] += self.transitions[path[:, :-1], path[:, 1:]]
        path_scores[:, 0] += self.start[path[:, 0]]
        allowed = self.allowed
        steps = [allowed.start[path[:, :1]], allowed.transitions[path[:, :-1], path[:, 1:]]]
        is_allowed = np.concatenate(steps, axis=1).all(axis=1, where=mask)
        last = Batch(path, scores.lengths).last()
        total = np.where(mask, path_scores, 0).cumsum(axis=1)[:, -1] + self.end[last]
        total = np.where(scores.lengths > 0, total - self.log_partition(scores), 0)
        return np.where(is_allowed & (allowed.end[last] | (scores.lengths == 0)), total, -np.inf)


class CRFDecoder:
    """Predictions of a network whose emission scores `[B, T, K]`, with their lengths `[B]`, go into a CRF."""

    crf: CRF

    def predict(self, data: Array, lengths: Array) -> Array:
        """The most probable tags `[B, T]`."""
        return self.crf.best_paths(Batch(data, lengths))

    def probabilities(self, data: Array, lengths: Array) -> Array:
        """The marginal probabilities of the tags `[B, T, K]`."""
        return self.crf.marginals(Batch(data, lengths))

    def log_probability(self, data: Array, lengths: Array, targets: Array) -> Array:
        """The log-probabilities `[B]` of the tags `targets [B, T]`."""
        return self.crf.log_likelihood(Batch(data, lengths), targets)


class CRFTransducer(CRFDecoder, Transducer):
    """A transducer whose outputs are the emission scores of a CRF.

    Args:
        tensors: its tensors.
        embedding: its description; None if the inputs are vectors.
        layer: its description.
        outputs: K, the number of tags.
        dropout: ignored, for training only.
        forbidden: forbidden transitions; see `CRF`.
    """

    def __init__(
        self,
        tensors: Tensors,
        embedding: Any,
        layer: Any,
        outputs: int,
        dropout: float = 0.0,
        forbidden: Sequence[Sequence[int]] = (),
    ) -> None:
        super().__init__(tensors, embedding, layer, outputs)
        self.crf = CRF(tensors.scope("crf"), outputs, forbidden)


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


def _reversed(batch: Batch) -> Batch:
    """The items of each row in reverse order within its length; the padding stays."""
    position = np.arange(batch.data.shape[1])
    source = batch.lengths[:, None] - 1 - position
    rows = np.arange(len(batch.data))[:, None]
    return Batch(batch.data[rows, np.where(source >= 0, source, position)], batch.lengths)
