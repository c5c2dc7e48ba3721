"""Transducer, the scan: sequence → sequence of the same length."""

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
    """A decision at every step.

    Args:
        embedding: ids → vectors; None if the inputs are vectors already.
        layer: any Layer.
        outputs: classes a step.
        dropout: probability for the layer's outputs in training.
        label_smoothing: share of the target spread over all classes in training (Szegedy et al. 2016).
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

    def forward(self, inputs: Any, state: State | None = None) -> tuple[Sequences, State]:
        """Inputs `[B, T]` → scores `[B, T, outputs]`, before any softmax, and the layer's final state."""
        outputs, state = self.layer(inputs if self.embedding is None else self.embedding(inputs), state)
        return outputs.map(self._score), state

    def loss(self, inputs: Any, targets: Sequences, state: None = None) -> Loss:
        """Cross-entropy against `targets [B, T]`, summed over the items; the head sees no padding."""
        outputs, _ = self.layer(inputs if self.embedding is None else self.embedding(inputs))
        wanted, scores = targets.items(), self._score(outputs.items())
        smoothing = self.label_smoothing if self.training else 0.0
        return Loss(cross_entropy(scores, wanted, smoothing), len(wanted))

    def probabilities(self, scores: Sequences) -> Sequences:
        """Scores `[B, T, outputs]` → the probability of each class at each item, likewise."""
        return scores.map(softmax)

    def decide(self, scores: Sequences) -> Sequences:
        """Scores `[B, T, outputs]` → classes `[B, T]`, the most probable."""
        return scores.map(lambda data: data.argmax(dim=2))

    def _score(self, outputs: Tensor) -> Tensor:
        return self.head(dropout(outputs, self.dropout, self.training))
