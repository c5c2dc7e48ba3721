"""NumericGenerator: a generator of values. Each step predicts the distribution of the next; a draw is its input."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.contract import Recurrence, check_layers
from stepscan.dropout_masks import dropout
from stepscan.errors import nearest
from stepscan.fields import check_probability
from stepscan.kernels.pointwise import Linear
from stepscan.patterns.loss import Loss
from stepscan.patterns.numeric_embedding import NumericEmbedding
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State

HEADS = ("gaussian", "quantile")
LEVELS = (0.025, 0.05, *(n / 10 for n in range(1, 10)), 0.95, 0.975)  # whose quantiles the quantile head learns
_LEAST = 1e-3  # deviation of a Gaussian, in units of the data's


@register("forecaster")
class NumericGenerator(nn.Module):
    """Predicts the distribution of the next numbers, each on its own, relative to the last ones.

    With `gaussian` the head gives mean and deviation and is trained by likelihood (Salinas et al. 2020); with
    `quantile` it gives quantiles at `LEVELS` and is trained by pinball loss (Koenker & Bassett 1978; Wen et al. 2017).

    Args:
        embedding: `NumericEmbedding`, D numbers a step.
        layer: any Recurrence.
        head: `gaussian` or `quantile`.
        dropout: probability for the layer's outputs in training.
    """

    def __init__(
        self, embedding: NumericEmbedding, layer: Recurrence, head: str = "gaussian", dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_layers("NumericGenerator", layer)
        check_probability(dropout=dropout)
        if not isinstance(layer, Recurrence):
            raise TypeError(
                f"a NumericGenerator needs a Recurrence, but {layer.described} has no step: it looks at what is to come"
            )
        if head not in HEADS:
            raise ValueError(f"unknown head {head!r}.{nearest(head, HEADS)}")
        self.embedding, self.layer, self.head, self.dropout = embedding, layer, head, dropout
        start = torch.zeros(2) if head == "gaussian" else torch.special.ndtri(torch.tensor(LEVELS))
        self.output = Linear(layer.output_size, embedding.size * len(start))
        nn.init.zeros_(self.output.weight)  # training starts from a random walk: the next is as the last
        self.output.bias = nn.Parameter(start.repeat(embedding.size))

    def initial_state(self, batch_size: int) -> State:
        """The state before the first number."""
        like = self.output.weight
        return self.layer.initial_state(batch_size, device=like.device, dtype=like.dtype)

    def forward(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Numbers `[B, T, D]` → what is known of the next ones `[B, T, D, P]`, and the final state."""
        state = self.initial_state(len(inputs)) if state is None else state
        inputs = inputs.zeroed()
        outputs, state = self.layer(self.embedding(inputs), state)
        return inputs.replace(self._known(outputs.data, inputs.data)), state

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Numbers `[B, D]` and a state → what is known of the next ones `[B, D, P]`, and the next state."""
        y, state = self.layer.step(self.embedding.step(x), state)
        return self._known(y, x), state

    def loss(self, inputs: Sequences, targets: Sequences, state: None = None) -> Loss:
        """Of `targets [B, T, D]`, each after the true numbers before it: nats (Gaussian) or pinball loss (the mean over
        the levels), of standardised numbers; counted by numbers."""
        known, _ = self(inputs)
        losses = self.losses(known.items(), targets.items())
        return Loss(losses.sum(), losses.numel())

    def losses(self, known: Tensor, targets: Tensor) -> Tensor:
        """What is known `[…, D, P]` and came true `[…, D]` → the loss of each number `[…, D]`."""
        true = self.embedding.standardised(targets)
        if self.head == "gaussian":
            mean, deviation = known.unbind(dim=-1)
            return 0.5 * ((true - mean) / deviation) ** 2 + deviation.log() + 0.5 * math.log(2 * math.pi)
        levels = torch.tensor(LEVELS, dtype=known.dtype, device=known.device)
        miss = true[..., None] - known
        return torch.maximum(levels * miss, (levels - 1) * miss).mean(dim=-1)

    def quantiles(self, known: Tensor, shares: Tensor) -> Tensor:
        """The numbers, in their own units and float64, below which the shares `[…, D]` of the distributions
        `known […, D, P]` lie: of uniform random shares, draws."""
        known, shares = known.double(), shares.double()
        if self.head == "gaussian":
            mean, deviation = known.unbind(dim=-1)
            return self.embedding.restored(mean + deviation * torch.special.ndtri(shares))
        levels = torch.tensor(LEVELS, dtype=torch.float64, device=known.device)
        known = known.sort(dim=-1).values  # quantiles that cross are put in order (Chernozhukov et al. 2010)
        upper = torch.searchsorted(levels, shares.contiguous()).clamp(1, len(LEVELS) - 1)
        low, high = (known.gather(-1, place[..., None])[..., 0] for place in (upper - 1, upper))
        part = ((shares - levels[upper - 1]) / (levels[upper] - levels[upper - 1])).clamp(0, 1)
        return self.embedding.restored(low + part * (high - low))

    def _known(self, outputs: Tensor, last: Tensor) -> Tensor:
        found: Any = self.output(dropout(outputs, self.dropout, self.training))
        found = found.unflatten(-1, (self.embedding.size, -1))
        place = self.embedding.standardised(last)[..., None]
        if self.head == "quantile":
            return place + found
        return torch.cat([place + found[..., :1], _LEAST + F.softplus(found[..., 1:])], dim=-1)
