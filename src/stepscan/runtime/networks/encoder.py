"""Encoder, the fold: sequence → feature vector → prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from stepscan.fields import POOLING, PROBLEM_TYPE
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.layers import tanh
from stepscan.runtime.networks.attention import masked_softmax
from stepscan.runtime.networks.embedding import build_embedding
from stepscan.runtime.networks.tensors import Tensors


class Encoder:
    """Reads a sequence, pools what the layer says into one vector, decides.

    Args:
        tensors: of its parts; `mean` and `deviation` of a number.
        embedding: rows → vectors, described; None if the rows are vectors already.
        layer: described.
        outputs: width of the head: number of classes or labels; 1 for regression.
        pooling: `last` (the layer's readout), `mean`, `max` or `attention` (a learned weighting) over the outputs.
            Pooling over nothing gives zeros.
        problem_type: `classification` (one of `outputs`), `multilabel` (each on or off) or `regression`.
        dropout, label_smoothing: for training alone.
    """

    def __init__(
        self,
        tensors: Tensors,
        embedding: Any,
        layer: Any,
        outputs: int,
        pooling: str = "last",
        problem_type: str = "classification",
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        POOLING.check("pooling", pooling)
        PROBLEM_TYPE.check("problem_type", problem_type)
        self.embedding = build_embedding(embedding, tensors.inside("embedding"))
        self.layer = tensors.layer("layer", layer)
        self.outputs, self.pooling, self.problem_type = outputs, pooling, problem_type
        self.feature_size = size = self.layer.output_size
        self.head = tensors.linear("head", size, outputs)
        if problem_type == "regression":
            self.mean, self.deviation = tensors.array("mean"), tensors.array("deviation")
        if pooling == "attention":
            self.relevance = tensors.linear("relevance.0", size, size), tensors.linear("relevance.2", size, 1, False)

    def features(self, rows: Any) -> Array:
        """Rows (ids, numbers or vectors, or a batch of them) → feature vectors `[B, H]`."""
        vectors, lengths = self.embedding(rows)
        outputs, state = self.layer.scan(vectors, lengths)
        return self.layer.readout(state) if self.pooling == "last" else self._pool(Batch(outputs, lengths))

    def scores(self, rows: Any) -> Array:
        """Rows → scores `[B, outputs]`, before any softmax or sigmoid; or the number `[B, 1]`."""
        return self.head_scores(self.features(rows))

    def head_scores(self, features: Array) -> Array:
        """Feature vectors `[B, H]` → scores `[B, outputs]`, or the number `[B, 1]`, in its own units."""
        scores = self.head(features)
        return self.mean + self.deviation * scores if self.problem_type == "regression" else scores

    def relevance_of(self, outputs: Array) -> Array:
        """With attention pooling, the layer's outputs `[…, H]` → what the softmax over the items is taken of `[…]`."""
        hidden, score = self.relevance
        return score(tanh(hidden(outputs)))[..., 0]

    def _pool(self, outputs: Batch) -> Array:
        data, lengths = outputs
        if self.pooling == "mean" or data.shape[1] == 0:
            return _total(data) / np.maximum(lengths, 1).astype(np.float32)[:, None]
        if self.pooling == "max":
            highest = np.where(outputs.mask[:, :, None], data, np.float32(-np.inf)).max(axis=1)
            return np.where(lengths[:, None] > 0, highest, np.float32(0))
        weights = masked_softmax(self.relevance_of(data), outputs.mask)
        return _total(weights[:, :, None] * data)


def _total(data: Array) -> Array:
    """Σ over time of `[B, T, H]`, one item after the other in float64, so that no padding changes a bit of it."""
    if not data.shape[1]:
        return data.sum(axis=1)
    return data.cumsum(axis=1, dtype=np.float64)[:, -1].astype(np.float32)
