"""Transducer, a scan: sequence → sequence of the same length."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from stepscan.contract import Layer, check_layers
from stepscan.dropout_masks import dropout
from stepscan.fields import check_probability
from stepscan.kernels.pointwise import Linear, softmax
from stepscan.patterns.loss import Loss, cross_entropy
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


@register("transducer")
class Transducer(nn.Module):
    """A layer and a linear head: one class per step.

    `crf` is the CRF over the outputs of a `CRFTransducer`, here None.

    Args:
        embedding: ids → vectors; None if the inputs are vectors.
        layer: any Layer.
        outputs: the number of classes.
        dropout: probability for the layer's outputs in training.
        label_smoothing: in training (Szegedy et al. 2016).

    Raises:
        TypeError: `layer` is not a Layer.
        ValueError: a probability is not in [0, 1).
    """

    def __init__(
        self,
        embedding: nn.Module | None,
        layer: Layer,
        outputs: int,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_layers("Transducer", layer)
        check_probability(dropout=dropout, label_smoothing=label_smoothing)
        self.embedding, self.layer = embedding, layer
        self.dropout, self.label_smoothing = dropout, label_smoothing
        self.head = Linear(layer.output_size, outputs)
        self.crf: Any = None

    def forward(self, inputs: Any, state: State | None = None) -> tuple[Sequences, State]:
        """Inputs `[B, T]` → logits `[B, T, outputs]`, and the layer's final state."""
        outputs, state = self.layer(inputs if self.embedding is None else self.embedding(inputs), state)
        return outputs.map(self._score), state

    def loss(self, inputs: Any, targets: Sequences, state: None = None) -> Loss:
        """Cross-entropy of `targets [B, T]`, summed over the items; the head is computed without padding."""
        outputs, _ = self.layer(inputs if self.embedding is None else self.embedding(inputs))
        classes, scores = targets.items(), self._score(outputs.items())
        smoothing = self.label_smoothing if self.training else 0.0
        return Loss(cross_entropy(scores, classes, smoothing), len(classes))

    def probabilities(self, scores: Sequences) -> Sequences:
        """Logits `[B, T, outputs]` → the probability of each class at each item, of the same shape."""
        return scores.map(softmax)

    def predict(self, scores: Sequences) -> Sequences:
        """Logits `[B, T, outputs]` → the most probable classes `[B, T]`."""
        return scores.map(lambda data: data.argmax(dim=2))

    def _score(self, outputs: Tensor) -> Tensor:
        return self.head(dropout(outputs, self.dropout, self.training))
