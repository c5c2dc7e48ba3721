"""Transducer, a scan: sequence → sequence of the same length."""

from __future__ import annotations

from typing import Any

from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.networks.embedding import build_embedding
from stepscan.runtime.networks.tensors import Tensors
from stepscan.runtime.operations import softmax
from stepscan.runtime.probabilities import nats


class Transducer:
    """A layer and a linear head: one class per step.

    `crf` is the CRF over the outputs of a `CRFTransducer`, here None.

    Args:
        tensors: its tensors.
        embedding: its description; None if the inputs are vectors.
        layer: its description.
        outputs: K, the number of classes.
        dropout, label_smoothing: ignored, for training only.
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
        self.embedding = build_embedding(embedding, tensors.scope("embedding"))
        self.layer, self.outputs = tensors.layer("layer", layer), outputs
        self.head = tensors.linear("head", self.layer.output_size, outputs)

    def scores(self, rows: Any) -> Batch:
        """Rows (ids, values, vectors or `Words`, or a batch of them) → logits `[B, T, K]`."""
        vectors, lengths = self.embedding(rows)
        outputs, _ = self.layer.scan(vectors, lengths)
        return Batch(self.head(outputs), lengths).zeroed()

    def predict(self, data: Array, lengths: Array) -> Array:
        """Logits `[B, T, K]` → the most probable classes `[B, T]`, 0 in the padding."""
        return Batch(data.argmax(axis=2), lengths).zeroed().data

    def probabilities(self, data: Array, lengths: Array) -> Array:
        """Logits `[B, T, K]` → the probability of each class at each item `[B, T, K]`, 0 in the padding."""
        return Batch(softmax(data), lengths).zeroed().data

    def log_probability(self, data: Array, lengths: Array, targets: Array) -> Array:
        """The log-probability `[B]` of the classes `targets [B, T]`, in nats and float64."""
        return log_probability(data, lengths, targets)


def log_probability(data: Array, lengths: Array, targets: Array) -> Array:
    """The log-probability `[B]` of independent `targets [B, T]` with logits `[B, T, K]`, in nats; summed in order, so
    that padding does not change the rounding."""
    items = Batch(-nats(data, targets), lengths).zeroed().data
    return items.cumsum(axis=1)[:, -1] if data.shape[1] else items.sum(axis=1)
