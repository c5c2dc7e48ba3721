"""Generator, an unfold: a sequence from an initial state, in which each output is the next input."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stepscan.contract import Recurrence, check_layers
from stepscan.dropout_masks import dropout
from stepscan.errors import nearest
from stepscan.fields import check_not_negative, check_probability
from stepscan.kernels.pointwise import Linear, linear
from stepscan.kernels.tensors import is_supported
from stepscan.kernels.training import OutputLoss
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.loss import Loss, cross_entropy
from stepscan.patterns.sampled_softmax import SoftmaxSamples
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State, detach

INITIAL = ("zero", "learned")


@register("generator")
class Generator(nn.Module):
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

    def __init__(
        self,
        embedding: Embedding,
        layer: Recurrence,
        initial: str = "zero",
        tie_weights: bool = False,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        activation_regularisation: float = 0.0,
        temporal_activation_regularisation: float = 0.0,
    ) -> None:
        super().__init__()
        check_layers("Generator", layer)
        check_probability(dropout=dropout, label_smoothing=label_smoothing)
        check_not_negative(
            activation_regularisation=activation_regularisation,
            temporal_activation_regularisation=temporal_activation_regularisation,
        )
        if not isinstance(layer, Recurrence):
            raise TypeError(
                f"Generator: expected a Recurrence, got {layer.signature}, which is not causal; "
                "use a layer that reads in one direction"
            )
        if initial not in INITIAL:
            raise ValueError(
                f"initial: expected one of {', '.join(INITIAL)}, got {initial!r}.{nearest(initial, INITIAL)}"
            )
        if embedding.weight_given is not None:
            raise ValueError(
                f"embedding: expected no pretrained vectors, got {embedding.weight_given.shape[1]} such dimensions"
            )
        self.embedding, self.layer, self.tie_weights = embedding, layer, tie_weights
        self.dropout, self.label_smoothing = dropout, label_smoothing
        self.activation_regularisation = activation_regularisation
        self.temporal_activation_regularisation = temporal_activation_regularisation
        self.samples: SoftmaxSamples | None = None  # for sampled softmax in training; None for the full softmax
        self.start = nn.Parameter(torch.zeros(layer.condition_size)) if initial == "learned" else None
        size = layer.output_size
        self.projection = Linear(size, embedding.output_size) if tie_weights and size != embedding.output_size else None
        self.head = None if tie_weights else Linear(size, embedding.vocabulary_size)
        self.bias = nn.Parameter(torch.zeros(embedding.vocabulary_size)) if tie_weights else None

    def initial_state(self, batch_size: int) -> State:
        """The state before the first symbol."""
        if self.start is None:
            weight = self.embedding.weight
            return self.layer.initial_state(batch_size, device=weight.device, dtype=weight.dtype)
        return self.layer.condition(self.start.expand(batch_size, -1))

    def detach_state(self, state: State) -> State:
        """The initial state of the next window of truncated back-propagation: detached, with its noise resampled."""
        return detach(self.layer.renew(state))

    def forward(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Ids `[B, T]` → logits of the next symbols `[B, T, V]`, and the final state."""
        state = self.initial_state(len(inputs)) if state is None else state
        outputs, state = self.layer(self.embedding(inputs), state)
        return outputs.map(self._score), state

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Ids `[B]` and a state → logits of the next symbols `[B, V]`, and the next state."""
        y, state = self.layer.step(self.embedding.step(ids), state)
        return self._score(y), state

    def loss(self, inputs: Sequences, targets: Sequences, state: State | None = None) -> Loss:
        """Cross-entropy of `targets [B, T]` with teacher forcing, summed, with the regularisation in training."""
        state = self.initial_state(len(inputs)) if state is None else state
        outputs, state = self.layer(self.embedding(inputs), state)
        symbols, hidden = targets.items(), self._dropout(outputs.items())
        smoothing = self.label_smoothing if self.training else 0.0
        total = self._cross_entropy(self._project(hidden), symbols, smoothing)
        return Loss(total + self._regularisation(outputs, hidden) if self.training else total, len(symbols), state)

    @torch.inference_mode()
    def array_step(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """`step` on NumPy arrays, for `stepscan.decoding`."""
        scores, state = self.step(torch.from_numpy(ids).to(self.embedding.weight.device), state)
        return scores.cpu().numpy(), state

    def _score(self, outputs: Tensor) -> Tensor:
        return self._logits(self._project(self._dropout(outputs)))

    def _dropout(self, outputs: Tensor) -> Tensor:
        return dropout(outputs, self.dropout, self.training)

    def _project(self, outputs: Tensor) -> Tensor:
        return outputs if self.projection is None else self.projection(outputs)

    def _logits(self, projected: Tensor) -> Tensor:
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
        return cross_entropy(self._logits(projected), targets, smoothing)

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
