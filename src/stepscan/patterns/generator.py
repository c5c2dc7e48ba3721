"""Generator, an unfold: a sequence from an initial state, in which each output is the next input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stepscan.definitions import generator as definitions
from stepscan.kernels.pointwise import linear
from stepscan.kernels.tensors import is_supported
from stepscan.kernels.training import OutputLoss
from stepscan.modules import Module
from stepscan.patterns.loss import Loss, cross_entropy
from stepscan.patterns.sampled_softmax import SoftmaxSamples
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State, detach


@register("generator")
class Generator(definitions.Generator, Module):
    """An autoregressive model of symbols: predicts the next symbol from the previous ones.

    Args:
        embedding: ids → vectors; its vocabulary is that of the outputs.
        layer: any Recurrence.
        initial: the initial state: `zero` (the layer's) or `learned` (a parameter, passed to `layer.condition`).
        tie_weights: whether the output weights are the embedding's (Press & Wolf 2017; Inan et al. 2017). If the sizes
            of layer and embedding differ, there is a projection between them.
        dropout: probability for the layer's outputs in training.
        label_smoothing: in training (Szegedy et al. 2016).
        activation_regularisation: α, the weight in the training loss of the mean square of the layer's outputs after
            dropout (AR: Merity et al. 2017).
        temporal_activation_regularisation: β, the weight of the mean squared change of the layer's outputs between
            steps, before dropout (TAR).

    Raises:
        TypeError: `layer` is not a Recurrence.
        ValueError: an argument is out of range, or the embedding has pretrained vectors.
    """

    head: Any  # a module; None if the weights are tied
    samples: SoftmaxSamples | None  # for sampled softmax in training; None for the full softmax

    def __post_init__(self) -> None:
        super().__post_init__()
        self.samples = None
        for weight in (self.start, self.bias):
            if weight is not None:
                nn.init.zeros_(weight)

    def detach_state(self, state: State) -> State:
        """The initial state of the next window of truncated back-propagation: detached, with its noise resampled."""
        return detach(self.layer.renew(state))

    def loss(self, inputs: Sequences, targets: Sequences, state: State | None = None) -> Loss:
        """Cross-entropy of `targets [B, T]` with teacher forcing, summed, with the regularisation in training."""
        state = self.initial_state(len(inputs)) if state is None else state
        outputs, state = self.layer(self.embedding(inputs), state)
        symbols, hidden = targets.items(), self.apply_dropout(outputs.items(), self.dropout)
        smoothing = self.label_smoothing if self.training else 0.0
        total = self._cross_entropy(self.project(hidden), symbols, smoothing)
        return Loss(total + self._regularisation(outputs, hidden) if self.training else total, len(symbols), state)

    def logits(self, projected: Tensor) -> Tensor:
        """See `stepscan.definitions.generator.Generator.logits`."""
        if self.head is not None:
            return self.head(projected)
        return linear(self, projected, self.embedding.weight, self.bias)

    def _cross_entropy(self, projected: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        head: Any = self if self.head is None else self.head
        weight, bias = self.embedding.weight if self.head is None else head.weight, head.bias
        if self.training and self.samples is not None:
            return self.samples.loss(projected, weight, bias, targets, smoothing)
        if torch.is_grad_enabled() and is_supported(weight, projected):
            return OutputLoss.apply(projected, weight, bias, targets, smoothing)
        return cross_entropy(self.logits(projected), targets, smoothing)

    def _regularisation(self, outputs: Sequences, hidden: Tensor) -> Tensor | float:
        """AR and TAR, summed over the items: α Σ_t |m ⊙ h_t|² / H, with the mask m of dropout, and
        β Σ_t |h_t − h_t−1|² / H (after Merity et al. 2017); `hidden [N, H]` is m ⊙ h."""
        alpha, beta = self.activation_regularisation, self.temporal_activation_regularisation
        total: Tensor | float = alpha * hidden.square().mean(dim=1).sum() if alpha else 0.0
        if beta:
            data = outputs.zeroed().data
            changes = (data[:, 1:] - data[:, :-1]).square().mean(dim=2)
            total = total + beta * (changes * outputs.mask[:, 1:]).sum()
        return total
