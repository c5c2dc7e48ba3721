"""Encoder, a fold: sequence → feature vector → prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.contract import Layer, check_layers
from stepscan.dropout_masks import dropout
from stepscan.fields import POOLING, PROBLEM_TYPE, check_probability
from stepscan.kernels.pointwise import Linear, Tanh
from stepscan.patterns.attention import masked_softmax
from stepscan.patterns.loss import Loss, cross_entropy
from stepscan.registry import register
from stepscan.sequences import Sequences

_LOSSES: dict[str, Callable[[Tensor, Tensor, float, Tensor | None], Tensor]] = {
    "classification": cross_entropy,
    "multilabel": lambda scores, targets, smoothing, _: F.binary_cross_entropy_with_logits(
        scores, targets * (1 - smoothing) + smoothing / 2, reduction="sum"
    ),
    "regression": lambda scores, targets, smoothing, _: F.mse_loss(scores.squeeze(-1), targets, reduction="sum"),
}


@register("encoder")
class Encoder(nn.Module):
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

    mean: Tensor
    deviation: Tensor
    class_weights: Tensor | None

    def __init__(
        self,
        embedding: nn.Module | None,
        layer: Layer,
        outputs: int,
        pooling: str = "last",
        problem_type: str = "classification",
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_layers("Encoder", layer)
        check_probability(dropout=dropout, label_smoothing=label_smoothing)
        POOLING.check("pooling", pooling)
        PROBLEM_TYPE.check("problem_type", problem_type)
        if problem_type == "regression" and outputs != 1:
            raise ValueError(f"outputs: expected 1 for regression, got {outputs}")
        self.embedding, self.layer, self.pooling, self.problem_type = embedding, layer, pooling, problem_type
        self.dropout, self.label_smoothing = dropout, label_smoothing
        self.head = Linear(layer.output_size, outputs)
        self.register_buffer("class_weights", None, persistent=False)  # for training only
        if problem_type == "regression":
            self.register_buffer("mean", torch.zeros(()))
            self.register_buffer("deviation", torch.ones(()))
        if pooling == "attention":
            size = layer.output_size
            self.relevance = nn.Sequential(Linear(size, size), Tanh(), Linear(size, 1, bias=False))

    def encode(self, inputs: Any) -> Tensor:
        """Inputs (ids `[B, T]`, or vectors `[B, T, I]` without an embedding) → feature vectors `[B, H]`."""
        outputs, state = self.layer(inputs if self.embedding is None else self.embedding(inputs))
        return self.layer.readout(state) if self.pooling == "last" else self._pool(outputs.zeroed())

    @property
    def outputs(self) -> int:
        """The number of classes or labels; 1 for regression."""
        return self.head.out_features

    @property
    def feature_size(self) -> int:
        """H, dimensions of a feature vector."""
        return self.layer.output_size

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
        counts = torch.bincount(targets, minlength=self.outputs)
        weights = len(targets) / (self.outputs * counts.clamp(min=1))
        self.class_weights = weights.to(self.head.weight)

    def forward(self, inputs: Any) -> Tensor:
        """Inputs → logits `[B, outputs]`; for regression, predictions `[B, 1]` in the targets' units."""
        scores = self._scores(inputs)
        return self.mean + self.deviation * scores if self.problem_type == "regression" else scores

    def loss(self, inputs: Any, targets: Tensor, state: None = None) -> Loss:
        """The loss, summed over the batch: cross-entropy (classification, `targets [B]`), binary cross-entropy
        (multilabel, `[B, outputs]` of 0 and 1), or the squared error of standardised values (regression, `[B]`)."""
        smoothing = self.label_smoothing if self.training else 0.0
        if self.problem_type == "regression":
            targets = (targets - self.mean) / self.deviation
        weights = self.class_weights if self.training else None
        example_weights = None if weights is None else weights[targets]
        return Loss(_LOSSES[self.problem_type](self._scores(inputs), targets, smoothing, example_weights), len(targets))

    def _scores(self, inputs: Any) -> Tensor:
        return self.head(dropout(self.encode(inputs), self.dropout, self.training))

    def _pool(self, outputs: Sequences) -> Tensor:
        data, mask = outputs.data, outputs.mask[:, :, None]
        if self.pooling == "mean" or outputs.steps == 0:
            return _sum_over_time(data) / outputs.lengths.clamp(min=1)[:, None]
        if self.pooling == "max":
            maximum = data.masked_fill(~mask, float("-inf")).amax(dim=1)
            return torch.where(outputs.lengths[:, None] > 0, maximum, 0)
        weights = masked_softmax(self.relevance(data)[..., 0], outputs.mask)
        return _sum_over_time(weights[:, :, None] * data)


def _sum_over_time(data: Tensor) -> Tensor:
    """Σ over time of `[B, T, H]`; without gradients in order, so that padding does not change the rounding."""
    if torch.is_grad_enabled() or data.shape[1] == 0:
        return data.sum(dim=1)
    return data.cumsum(dim=1)[:, -1]
