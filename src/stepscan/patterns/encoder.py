"""Encoder, a fold: sequence → feature vector → prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.definitions import encoder as definitions
from stepscan.modules import Module
from stepscan.patterns.loss import Loss, cross_entropy
from stepscan.registry import register

_LOSSES: dict[str, Callable[[Tensor, Tensor, float, Tensor | None], Tensor]] = {
    "classification": cross_entropy,
    "multilabel": lambda scores, targets, smoothing, _: F.binary_cross_entropy_with_logits(
        scores, targets * (1 - smoothing) + smoothing / 2, reduction="sum"
    ),
    "regression": lambda scores, targets, smoothing, _: F.mse_loss(scores.squeeze(-1), targets, reduction="sum"),
}


@register("encoder")
class Encoder(definitions.Encoder, Module):
    """A layer, pooling over time, and a linear head: classification or regression of whole sequences.

    Regression targets are standardised in training (`standardise`); predictions are in the targets' units.

    Args:
        embedding: ids → vectors; None if the inputs are vectors.
        layer: any Layer.
        outputs: the number of classes or labels; 1 for regression.
        pooling: `last` (the layer's readout), `mean`, `max` or `attention` (a learned weighting) over the outputs;
            zeros for a sequence of length 0.
        problem_type: `classification` (one of `outputs`), `multilabel` (each 0 or 1) or `regression`.
        dropout: probability for the feature vector in training.
        label_smoothing: for classification and multilabel, in training (Szegedy et al. 2016).

    Raises:
        TypeError: `layer` is not a Layer.
        ValueError: an argument is out of range.
    """

    class_weights: Tensor | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.register_buffer("class_weights", None, persistent=False)  # for training only

    def standardise(self, targets: Tensor) -> None:
        """For regression, sets mean and deviation to those of the training targets `[N]`; the default is 0 and 1."""
        deviation = targets.std(correction=0)
        self.mean.copy_(targets.mean())
        self.deviation.copy_(deviation if deviation > 0 else torch.ones(()))

    def balance(self, targets: Tensor) -> None:
        """For classification, weights the loss so that all classes contribute equally in training.

        Args:
            targets: `[N]`, classes of the training data; an example of class c gets the weight N / (C · N_c), on
                average 1.
        """
        self.balance_counts(torch.bincount(targets, minlength=self.outputs))

    def balance_counts(self, counts: Tensor) -> None:
        """As `balance`, by the number of examples of each class `[C]`."""
        weights = counts.sum() / (self.outputs * counts.clamp(min=1))
        self.class_weights = weights.to(self.head.weight)

    def loss(self, inputs: Any, targets: Tensor, state: None = None) -> Loss:
        """The loss, summed over the batch: cross-entropy (classification, `targets [B]`), binary cross-entropy
        (multilabel, `[B, outputs]` of 0 and 1), or the squared error of standardised values (regression, `[B]`)."""
        smoothing = self.label_smoothing if self.training else 0.0
        if self.problem_type == "regression":
            targets = (targets - self.mean) / self.deviation
        weights = self.class_weights if self.training else None
        example_weights = None if weights is None else weights[targets]
        return Loss(
            _LOSSES[self.problem_type](self.raw_scores(inputs), targets, smoothing, example_weights), len(targets)
        )
