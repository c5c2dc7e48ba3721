"""Encoder, the fold: sequence → feature vector → prediction."""

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
    "multilabel": lambda scores, targets, share, _: F.binary_cross_entropy_with_logits(
        scores, targets * (1 - share) + share / 2, reduction="sum"
    ),
    "regression": lambda scores, targets, share, _: F.mse_loss(scores.squeeze(-1), targets, reduction="sum"),
}


@register("encoder")
class Encoder(nn.Module):
    """Reads a sequence, pools what the layer says into one vector, decides.

    A number is learned in units of the training data's spread (`standardise`) and given in its own.

    Args:
        embedding: ids → vectors; None if the inputs are vectors already.
        layer: any Layer.
        outputs: width of the head: number of classes or labels; 1 for regression.
        pooling: `last` (the layer's readout), `mean`, `max` or `attention` (a learned weighting) over the outputs.
            Pooling over nothing gives zeros.
        problem_type: `classification` (one of `outputs`), `multilabel` (each on or off) or `regression`.
        dropout: probability for the feature vector in training.
        label_smoothing: share of the target spread evenly in training (Szegedy et al. 2016); a number has none.
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
            raise ValueError(f"a number is one output, got outputs={outputs}")
        self.embedding, self.layer, self.pooling, self.problem_type = embedding, layer, pooling, problem_type
        self.dropout, self.label_smoothing = dropout, label_smoothing
        self.head = Linear(layer.output_size, outputs)
        self.register_buffer("class_weights", None, persistent=False)  # of training alone
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
        """Width of the head: number of classes or labels; 1 for regression."""
        return self.head.out_features

    @property
    def feature_size(self) -> int:
        """H, numbers in a feature vector."""
        return self.layer.output_size

    def standardise(self, targets: Tensor) -> None:
        """Of a number: take mean and deviation from the training data's `[N]`; without, they are 0 and 1."""
        deviation = targets.std(correction=0)
        self.mean.copy_(targets.mean())
        self.deviation.copy_(deviation if deviation > 0 else torch.ones(()))

    def balance(self, targets: Tensor) -> None:
        """Of classes: let each count as much as another in training, by what the training data's `[N]` are: an example
        counts N / (C · examples of its class), which is 1 in the mean."""
        counts = torch.bincount(targets, minlength=self.outputs)
        weights = len(targets) / (self.outputs * counts.clamp(min=1))
        self.class_weights = weights.to(self.head.weight)

    def forward(self, inputs: Any) -> Tensor:
        """Inputs → scores `[B, outputs]`, before any softmax or sigmoid; or the number `[B, 1]`."""
        scores = self._scores(inputs)
        return self.mean + self.deviation * scores if self.problem_type == "regression" else scores

    def loss(self, inputs: Any, targets: Tensor, state: None = None) -> Loss:
        """Cross-entropy (`class`: targets `[B]` ids; `labels`: `[B, outputs]` 0/1), or squared error of
        standardised numbers (`number`: `[B]`)."""
        smoothing = self.label_smoothing if self.training else 0.0
        if self.problem_type == "regression":
            targets = (targets - self.mean) / self.deviation
        weights = self.class_weights if self.training else None
        of_each = None if weights is None else weights[targets]
        return Loss(_LOSSES[self.problem_type](self._scores(inputs), targets, smoothing, of_each), len(targets))

    def _scores(self, inputs: Any) -> Tensor:
        return self.head(dropout(self.encode(inputs), self.dropout, self.training))

    def _pool(self, outputs: Sequences) -> Tensor:
        data, mask = outputs.data, outputs.mask[:, :, None]
        if self.pooling == "mean" or outputs.steps == 0:
            return _total(data) / outputs.lengths.clamp(min=1)[:, None]
        if self.pooling == "max":
            highest = data.masked_fill(~mask, float("-inf")).amax(dim=1)
            return torch.where(outputs.lengths[:, None] > 0, highest, 0)
        weights = masked_softmax(self.relevance(data)[..., 0], outputs.mask)
        return _total(weights[:, :, None] * data)


def _total(data: Tensor) -> Tensor:
    """Σ over time of `[B, T, H]`. To answer, one item after the other, so that no padding changes a bit of it."""
    if torch.is_grad_enabled() or data.shape[1] == 0:
        return data.sum(dim=1)
    return data.cumsum(dim=1)[:, -1]
