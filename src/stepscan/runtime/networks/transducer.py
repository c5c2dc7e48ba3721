"""Transducer, the scan: sequence → sequence of the same length."""

from __future__ import annotations

from typing import Any

from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.layers import softmax
from stepscan.runtime.networks.embedding import build_embedding
from stepscan.runtime.networks.tensors import Tensors
from stepscan.runtime.probabilities import nats


class Transducer:
    """A decision at every step.

    `crf` is what decides about all of them together; here nothing does.

    Args:
        tensors: of its parts.
        embedding: rows → vectors, described; None if the rows are vectors already.
        layer: described.
        outputs: K, classes a step.
        dropout, label_smoothing: for training alone.
    """

    def __init__(
        self,
        tensors: Tensors,
        embedding: Any,
        layer: Any,
        outputs: int,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        self.crf: Any = None
        self.embedding = build_embedding(embedding, tensors.inside("embedding"))
        self.layer, self.outputs = tensors.layer("layer", layer), outputs
        self.head = tensors.linear("head", self.layer.output_size, outputs)

    def scores(self, rows: Any) -> Batch:
        """Rows (ids, numbers, vectors or `Words`, or a batch of them) → scores `[B, T, K]`, before any softmax."""
        vectors, lengths = self.embedding(rows)
        outputs, _ = self.layer.scan(vectors, lengths)
        return Batch(self.head(outputs), lengths).zeroed()

    def predict(self, data: Array, lengths: Array) -> Array:
        """Scores `[B, T, K]` → classes `[B, T]`, the most probable; 0 in the padding."""
        return Batch(data.argmax(axis=2), lengths).zeroed().data

    def probabilities(self, data: Array, lengths: Array) -> Array:
        """Scores `[B, T, K]` → the probability of each class at each item, likewise; 0 in the padding."""
        return Batch(softmax(data), lengths).zeroed().data

    def log_probability(self, data: Array, lengths: Array, targets: Array) -> Array:
        """Natural logarithm of the probability `[B]` of the classes `targets [B, T]` together, in float64."""
        return log_probability(data, lengths, targets)


def log_probability(data: Array, lengths: Array, targets: Array) -> Array:
    """Natural logarithm of the probability `[B]` of `targets [B, T]` together, where the scores `[B, T, K]` decide each
    item by itself. Added one after the other, so that no padding changes a bit of it."""
    of_items = Batch(-nats(data, targets), lengths).zeroed().data
    return of_items.cumsum(axis=1)[:, -1] if data.shape[1] else of_items.sum(axis=1)
