"""Encoder, a fold: sequence → feature vector → prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from stepscan.fields import POOLING, PROBLEM_TYPE
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.networks.attention import masked_softmax
from stepscan.runtime.networks.embedding import build_embedding
from stepscan.runtime.networks.tensors import Tensors
from stepscan.runtime.operations import tanh


class Encoder:
    """A layer, pooling over time, and a linear head: classification or regression of whole sequences.

    Args:
        tensors: its tensors; for regression also `mean` and `deviation` of the targets.
        embedding: its description; None if the inputs are vectors.
        layer: its description.
        outputs: the number of classes or labels; 1 for regression.
        pooling: `last` (the layer's readout), `mean`, `max` or `attention` (a learned weighting) over the outputs;
            zeros for a sequence of length 0.
        problem_type: `classification` (one of `outputs`), `multilabel` (each 0 or 1) or `regression`.
        dropout, label_smoothing: ignored, for training only.

    Raises:
        ValueError: an unknown pooling or problem type.
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
        self.embedding = build_embedding(embedding, tensors.scope("embedding"))
        self.layer = tensors.layer("layer", layer)
        self.outputs, self.pooling, self.problem_type = outputs, pooling, problem_type
        self.feature_size = size = self.layer.output_size
        self._linear = tensors.linear("head", size, outputs)
        if problem_type == "regression":
            self.mean, self.deviation = tensors.array("mean"), tensors.array("deviation")
        if pooling == "attention":
            self.relevance = tensors.linear("relevance.0", size, size), tensors.linear("relevance.2", size, 1, False)

    def features(self, rows: Any) -> Array:
        """Rows (ids, values or vectors, or a batch of them) → feature vectors `[B, H]`."""
        vectors, lengths = self.embedding(rows)
        outputs, state = self.layer.scan(vectors, lengths)
        return self.layer.readout(state) if self.pooling == "last" else self._pool(Batch(outputs, lengths))

    def scores(self, rows: Any) -> Array:
        """Rows → logits `[B, outputs]`; for regression, predictions `[B, 1]` in the targets' units."""
        return self.head(self.features(rows))

    def head(self, features: Array) -> Array:
        """Feature vectors `[B, H]` → logits `[B, outputs]`; for regression, predictions `[B, 1]`."""
        scores = self._linear(features)
        return self.mean + self.deviation * scores if self.problem_type == "regression" else scores

    def relevance_scores(self, outputs: Array) -> Array:
        """With attention pooling, the layer's outputs `[…, H]` → their attention scores `[…]`, before the softmax."""
        hidden, score = self.relevance
        return score(tanh(hidden(outputs)))[..., 0]

    def _pool(self, outputs: Batch) -> Array:
        data, lengths = outputs
        if self.pooling == "mean" or data.shape[1] == 0:
            return _sum_over_time(data) / np.maximum(lengths, 1).astype(np.float32)[:, None]
        if self.pooling == "max":
            maximum = np.where(outputs.mask[:, :, None], data, np.float32(-np.inf)).max(axis=1)
            return np.where(lengths[:, None] > 0, maximum, np.float32(0))
        weights = masked_softmax(self.relevance_scores(data), outputs.mask)
        return _sum_over_time(weights[:, :, None] * data)


def _sum_over_time(data: Array) -> Array:
    """Σ over time of `[B, T, H]`, in order and in float64, so that padding does not change the rounding."""
    if not data.shape[1]:
        return data.sum(axis=1)
    return data.cumsum(axis=1, dtype=np.float64)[:, -1].astype(np.float32)
