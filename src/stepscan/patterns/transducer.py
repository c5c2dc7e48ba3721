"""Transducer, a scan: sequence → sequence of the same length."""

from __future__ import annotations

from typing import Any

from stepscan.backends.tensors import as_given
from stepscan.definitions import transducer as definitions
from stepscan.modules import Module
from stepscan.patterns.loss import Loss, cross_entropy
from stepscan.registry import register
from stepscan.sequences import Sequences


@register("transducer")
class Transducer(definitions.Transducer, Module):
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

    def loss(self, inputs: Any, targets: Sequences, state: None = None) -> Loss:
        """Cross-entropy of `targets [B, T]`, summed over the items; the head is computed without padding."""
        outputs, _ = self.layer(self.embed(inputs))
        classes, scores = targets.items(), self.score(outputs.items())
        smoothing = self.label_smoothing if self.training else 0.0
        return Loss(cross_entropy(scores, classes, smoothing), len(classes))

    def predict(self, scores: Any) -> Any:
        """See `stepscan.definitions.transducer.Transducer.predict`; of `Sequences`, `Sequences`."""
        return as_given(scores, super().predict(scores))

    def probabilities(self, scores: Any) -> Any:
        """See `stepscan.definitions.transducer.Transducer.probabilities`; of `Sequences`, `Sequences`."""
        return as_given(scores, super().probabilities(scores))
