"""Generator, the unfold: a sequence out of an initial state, each output the next input."""

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
    """Predicts the next symbol from those so far; generates by feeding back what was chosen.

    Args:
        embedding: ids → vectors; its vocabulary is what is generated.
        layer: any Recurrence; a layer that looks ahead cannot generate and is an error here.
        initial: `zero` (the layer's own initial state) or `learned` (a vector that `layer.condition` cuts).
        tie_weights: whether the output weights are the embedding's (Press & Wolf 2017; Inan et al. 2017). Where layer
            and embedding differ in width, a projection stands between.
        dropout: probability for the layer's outputs in training.
        label_smoothing: share of the target's probability spread over all symbols in training (Szegedy et al. 2016).
        activation_regularisation: what the loss of a symbol has beside its cross-entropy in training: so many times the
            mean square of the layer's outputs, after dropout (AR: Merity et al. 2017).
        temporal_activation_regularisation: likewise of the change from the outputs before, before dropout (TAR).
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
                f"a Generator needs a Recurrence, but {layer.described} has no step: it looks at items that are not "
                "generated yet; use a layer that reads in one direction"
            )
        if initial not in INITIAL:
            raise ValueError(f"unknown initial state {initial!r}.{nearest(initial, INITIAL)}")
        if embedding.weight_given is not None:
            raise ValueError(
                "a Generator writes the symbols of its embedding, whose vectors must all be trained, got given ones"
            )
        self.embedding, self.layer, self.tie_weights = embedding, layer, tie_weights
        self.dropout, self.label_smoothing = dropout, label_smoothing
        self.activation_regularisation = activation_regularisation
        self.temporal_activation_regularisation = temporal_activation_regularisation
        self.samples: SoftmaxSamples | None = None  # of training; None: over all symbols
        self.start = nn.Parameter(torch.zeros(layer.condition_size)) if initial == "learned" else None
        size = layer.output_size
        self.projection = Linear(size, embedding.output_size) if tie_weights and size != embedding.output_size else None
        self.head = None if tie_weights else Linear(size, embedding.vocabulary_size)
        self.bias = nn.Parameter(torch.zeros(embedding.vocabulary_size)) if tie_weights else None

    def initial_state(self, batch_size: int) -> State:
        """The state before the first symbol."""
        if self.start is None:
            like = self.embedding.weight
            return self.layer.initial_state(batch_size, device=like.device, dtype=like.dtype)
        return self.layer.condition(self.start.expand(batch_size, -1))

    def carry(self, state: State) -> State:
        """Where the next window of truncated back-propagation starts: the same values, no history, new noise."""
        return detach(self.layer.renew(state))

    def forward(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Symbols `[B, T]` → scores of the next symbol `[B, T, V]`, before any softmax, and the final state."""
        state = self.initial_state(len(inputs)) if state is None else state
        outputs, state = self.layer(self.embedding(inputs), state)
        return outputs.map(self._score), state

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """One symbol a row `[B]` and a state → scores of the next `[B, V]` and the next state."""
        y, state = self.layer.step(self.embedding.step(ids), state)
        return self._score(y), state

    def loss(self, inputs: Sequences, targets: Sequences, state: State | None = None) -> Loss:
        """Teacher forcing: cross-entropy of `targets [B, T]`, each after the true symbols before it."""
        state = self.initial_state(len(inputs)) if state is None else state
        outputs, state = self.layer(self.embedding(inputs), state)
        wanted, dropped = targets.items(), self._dropped(outputs.items())
        smoothing = self.label_smoothing if self.training else 0.0
        total = self._loss(self._projected(dropped), wanted, smoothing)
        return Loss(total + self._penalty(outputs, dropped) if self.training else total, len(wanted), state)

    @torch.inference_mode()
    def array_step(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """`step` on NumPy arrays: what `stepscan.decoding` drives."""
        scores, state = self.step(torch.from_numpy(ids).to(self.embedding.weight.device), state)
        return scores.cpu().numpy(), state

    def _score(self, outputs: Tensor) -> Tensor:
        return self._head(self._projected(self._dropped(outputs)))

    def _dropped(self, outputs: Tensor) -> Tensor:
        return dropout(outputs, self.dropout, self.training)

    def _projected(self, outputs: Tensor) -> Tensor:
        return outputs if self.projection is None else self.projection(outputs)

    def _head(self, projected: Tensor) -> Tensor:
        if self.head is not None:
            return self.head(projected)
        return linear(self, projected, self.embedding.weight, self.bias)

    def _loss(self, projected: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        head: Any = self if self.head is None else self.head
        weight, bias = self.embedding.weight if self.head is None else head.weight, head.bias
        if self.training and self.samples is not None:
            return self.samples.loss(projected, weight, bias, targets, smoothing)
        if torch.is_grad_enabled() and is_supported(weight, projected):
            return OutputLoss.apply(projected, weight, bias, targets, smoothing)
        return cross_entropy(self._head(projected), targets, smoothing)

    def _penalty(self, outputs: Sequences, dropped: Tensor) -> Tensor | float:
        """What large outputs and large changes of them cost, summed over the items: α Σ_t |m ⊙ h_t|² / H, with the mask
        m of dropout, and β Σ_t |h_t − h_t−1|² / H (after Merity et al. 2017)."""
        alpha, beta = self.activation_regularisation, self.temporal_activation_regularisation
        total: Tensor | float = alpha * dropped.square().mean(dim=1).sum() if alpha else 0.0
        if beta:
            data = outputs.zeroed().data
            changes = (data[:, 1:] - data[:, :-1]).square().mean(dim=2)
            total = total + beta * (changes * outputs.mask[:, 1:]).sum()
        return total
