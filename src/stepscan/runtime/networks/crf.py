"""Linear-chain conditional random field without torch (Lafferty et al. 2001); the formulas stand in `patterns.crf`.

Sums over paths are taken in float64. Dimension letters: B batch, T time, K tags.
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
    """What follows what: learned scores of transitions, of first and of last tags.

    Args:
        tensors: `transitions [K, K]` (from, to), `start` and `end [K]`.
        tags: K.
        forbidden: pairs `[before, after]` of tags that never stand side by side; `[-1, tag]`: never first;
            `[tag, -1]`: never last. Paths with one have probability exactly 0.
    """

    def __init__(self, tensors: Tensors, tags: int, forbidden: Sequence[Sequence[int]] = ()) -> None:
        try:
            self.allowed = allowed_transitions(tags, forbidden)
        except ValueError as error:
            raise ModelFormatError(str(error)) from None
        least = np.float32(FORBIDDEN)
        self.transitions = np.where(self.allowed.transitions, tensors.array("transitions", tags, tags), least)
        self.start = np.where(self.allowed.start, tensors.array("start", tags), least)
        self.end = np.where(self.allowed.end, tensors.array("end", tags), least)

    def best_paths(self, scores: Batch) -> Array:
        """The most probable path of each row, `[B, T]`."""
        return viterbi(scores.zeroed().data, scores.lengths, self.transitions, self.start, self.end)

    def marginals(self, scores: Batch) -> Array:
        """Probability of each tag at each item, over all paths: `[B, T, K]` in float32 (forward–backward)."""
        before = _forward(scores, self.transitions, self.start)
        after = _reversed(Batch(_forward(_reversed(scores), self.transitions.T, self.end), scores.lengths)).data
        both = before + after - scores.data
        shares = np.exp(both - both.max(axis=2, keepdims=True))
        return Batch((shares / shares.sum(axis=2, keepdims=True)).astype(np.float32), scores.lengths).zeroed().data

    def log_partition(self, scores: Batch) -> Array:
        """Log of the sum of exp S over all paths, `[B]`; of a sequence of length 0 it is 0."""
        reached = Batch(_forward(scores, self.transitions, self.start), scores.lengths).last()
        return np.where(scores.lengths > 0, _log_sum(reached + self.end), 0)

    def log_likelihood(self, scores: Batch, tags: Array) -> Array:
        """Log-probability `[B]` of the paths `tags [B, T]`; of an empty path 0, of a forbidden one −∞."""
        mask = scores.mask
        if not mask.any():
            return np.zeros(len(mask))
        path = np.where(mask, tags, 0)
        at_items = np.take_along_axis(scores.data, path[:, :, None], axis=2)[:, :, 0].astype(np.float64)
        at_items[:, 1:] += self.transitions[path[:, :-1], path[:, 1:]]
        at_items[:, 0] += self.start[path[:, 0]]
        may = self.allowed
        fine = np.concatenate([may.start[path[:, :1]], may.transitions[path[:, :-1], path[:, 1:]]], axis=1) | ~mask
        last = Batch(path, scores.lengths).last()
        total = np.where(mask, at_items, 0).cumsum(axis=1)[:, -1] + self.end[last]
        total = np.where(scores.lengths > 0, total - self.log_partition(scores), 0)
        return np.where(fine.all(axis=1) & (may.end[last] | (scores.lengths == 0)), total, -np.inf)


class CRFDecoder:
    """What a network does whose scores `[B, T, K]` a conditional random field decides by."""

    crf: CRF

    def predict(self, data: Array, lengths: Array) -> Array:
        return self.crf.best_paths(Batch(data, lengths))

    def probabilities(self, data: Array, lengths: Array) -> Array:
        return self.crf.marginals(Batch(data, lengths))

    def log_probability(self, data: Array, lengths: Array, targets: Array) -> Array:
        return self.crf.log_likelihood(Batch(data, lengths), targets)


class CRFTransducer(CRFDecoder, Transducer):
    """A transducer that decides about all items of a sequence together: its head's scores go into a CRF.

    Args:
        tensors: of its parts.
        embedding: rows → vectors, described; None if the rows are vectors already.
        layer: described.
        outputs: K, tags.
        dropout: for training alone.
        forbidden: pairs of tags; see `CRF`.
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
        self.crf = CRF(tensors.inside("crf"), outputs, forbidden)


def _forward(scores: Batch, transitions: Array, start: Array) -> Array:
    """Log of the sum of exp S over all paths that reach a tag, up to and with its item: `[B, T, K]`."""
    data = scores.data.astype(np.float64)
    into = np.ascontiguousarray(transitions.T, dtype=np.float64)  # [to, from]: sums run over the last dimension
    reached = np.empty_like(data)
    for t in range(data.shape[1]):
        before = start if t == 0 else _passed(reached[:, t - 1], into)
        reached[:, t] = before + data[:, t]
    return reached


def _passed(before: Array, into: Array) -> Array:
    """`log Σ_i exp(before[b, i] + into[j, i])`, `[B, K]`; no more than `SCORES` of the `[B, K, K]` terms at a time."""
    tags = max(1, min(len(into), SCORES // len(into)))
    rows = max(1, SCORES // (tags * len(into)))
    found = np.empty_like(before)
    for row in range(0, len(before), rows):
        for tag in range(0, len(into), tags):
            terms = before[row : row + rows, None] + into[tag : tag + tags]
            found[row : row + rows, tag : tag + tags] = _log_sum(terms)
    return found


def _log_sum(values: Array) -> Array:
    """`log Σ exp` over the last dimension."""
    most = values.max(axis=-1, keepdims=True)
    return most[..., 0] + np.log(np.exp(values - most).sum(axis=-1))


def _reversed(batch: Batch) -> Batch:
    """Each row's items in reverse order within its length; the padding stays."""
    place = np.arange(batch.data.shape[1])
    source = batch.lengths[:, None] - 1 - place
    rows = np.arange(len(batch.data))[:, None]
    return Batch(batch.data[rows, np.where(source >= 0, source, place)], batch.lengths)
