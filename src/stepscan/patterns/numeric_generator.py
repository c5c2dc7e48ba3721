"""NumericGenerator: a generator of values. Each step predicts the distribution of the next; a sample is its input."""

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
LEVELS = (0.025, 0.05, *(n / 10 for n in range(1, 10)), 0.95, 0.975)  # of the quantile head
_MIN_DEVIATION = 1e-3  # of the Gaussian head, relative to that of the data


@register("forecaster")
class NumericGenerator(nn.Module):
    """An autoregressive model of values: predicts the distribution of each of the next values, relative to the last
    ones.

    The head `gaussian` predicts mean and deviation, and is trained by likelihood (Salinas et al. 2020);
    `quantile` predicts the quantiles at `LEVELS`, and is trained by pinball loss (Koenker & Bassett 1978; Wen et al.
    2017).

    Args:
        embedding: a `NumericEmbedding` of D dimensions.
        layer: any Recurrence.
        head: `gaussian` or `quantile`.
        dropout: probability for the layer's outputs in training.

    Raises:
        TypeError: `layer` is not a Recurrence.
        ValueError: `head` is unknown, or `dropout` is not in [0, 1).
    """

    def __init__(
        self, embedding: NumericEmbedding, layer: Recurrence, head: str = "gaussian", dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_layers("NumericGenerator", layer)
        check_probability(dropout=dropout)
        if not isinstance(layer, Recurrence):
            raise TypeError(f"NumericGenerator: expected a Recurrence, got {layer.signature}, which is not causal")
        if head not in HEADS:
            raise ValueError(f"head: expected one of {', '.join(HEADS)}, got {head!r}.{nearest(head, HEADS)}")
        self.embedding, self.layer, self.head, self.dropout = embedding, layer, head, dropout
        start = torch.zeros(2) if head == "gaussian" else torch.special.ndtri(torch.tensor(LEVELS))
        self.output = Linear(layer.output_size, embedding.size * len(start))
        nn.init.zeros_(self.output.weight)  # at first a random walk: the next values are the last ones plus noise
        self.output.bias = nn.Parameter(start.repeat(embedding.size))

    def initial_state(self, batch_size: int) -> State:
        """The state before the first step."""
        weight = self.output.weight
        return self.layer.initial_state(batch_size, device=weight.device, dtype=weight.dtype)

    def forward(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Values `[B, T, D]` → P parameters of each distribution of the next ones `[B, T, D, P]`, the final state."""
        state = self.initial_state(len(inputs)) if state is None else state
        inputs = inputs.zeroed()
        outputs, state = self.layer(self.embedding(inputs), state)
        return inputs.replace(self._distribution(outputs.data, inputs.data)), state

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Values `[B, D]` and a state → P parameters of each distribution of the next `[B, D, P]`, the next state."""
        y, state = self.layer.step(self.embedding.step(x), state)
        return self._distribution(y, x), state

    def loss(self, inputs: Sequences, targets: Sequences, state: None = None) -> Loss:
        """The loss of `targets [B, T, D]` with teacher forcing, summed: negative log-likelihood in nats (`gaussian`) or
        pinball loss, the mean over the levels (`quantile`), of standardised values. `items` is the number of values."""
        distributions, _ = self(inputs)
        losses = self.losses(distributions.items(), targets.items())
        return Loss(losses.sum(), losses.numel())

    def losses(self, distributions: Tensor, targets: Tensor) -> Tensor:
        """Parameters of distributions `[…, D, P]` and targets `[…, D]` → the loss of each value `[…, D]`."""
        true = self.embedding.standardised(targets)
        if self.head == "gaussian":
            mean, deviation = distributions.unbind(dim=-1)
            return 0.5 * ((true - mean) / deviation) ** 2 + deviation.log() + 0.5 * math.log(2 * math.pi)
        levels = torch.tensor(LEVELS, dtype=distributions.dtype, device=distributions.device)
        error = true[..., None] - distributions
        return torch.maximum(levels * error, (levels - 1) * error).mean(dim=-1)

    def quantiles(self, distributions: Tensor, levels: Tensor) -> Tensor:
        """Quantiles of predicted distributions; samples, if the levels are uniform random values.

        Args:
            distributions: parameters `[…, D, P]`.
            levels: `[…, D]`, 0 … 1.

        Returns:
            `[…, D]` in the data's units, in float64.
        """
        distributions, levels = distributions.double(), levels.double()
        if self.head == "gaussian":
            mean, deviation = distributions.unbind(dim=-1)
            return self.embedding.restored(mean + deviation * torch.special.ndtri(levels))
        known = torch.tensor(LEVELS, dtype=torch.float64, device=distributions.device)
        ascending = distributions.sort(dim=-1).values  # crossing quantiles are sorted (Chernozhukov et al. 2010)
        upper = torch.searchsorted(known, levels.contiguous()).clamp(1, len(LEVELS) - 1)
        low, high = (ascending.gather(-1, index[..., None])[..., 0] for index in (upper - 1, upper))
        fraction = ((levels - known[upper - 1]) / (known[upper] - known[upper - 1])).clamp(0, 1)
        return self.embedding.restored(low + fraction * (high - low))

    def _distribution(self, outputs: Tensor, last: Tensor) -> Tensor:
        """The layer's outputs `[…, H]` and the last values `[…, D]` → parameters `[…, D, P]`."""
        parameters: Any = self.output(dropout(outputs, self.dropout, self.training))
        parameters = parameters.unflatten(-1, (self.embedding.size, -1))
        offset = self.embedding.standardised(last)[..., None]
        if self.head == "quantile":
            return offset + parameters
        return torch.cat([offset + parameters[..., :1], _MIN_DEVIATION + F.softplus(parameters[..., 1:])], dim=-1)
