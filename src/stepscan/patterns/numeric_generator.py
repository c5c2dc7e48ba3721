"""NumericGenerator: a generator of values. Each step predicts the distribution of the next; a sample is its input."""

from __future__ import annotations

import torch
from torch import nn

from stepscan.definitions import numeric_generator as definitions
from stepscan.definitions.numeric_generator import LEVELS
from stepscan.modules import Module
from stepscan.patterns.loss import Loss
from stepscan.registry import register
from stepscan.sequences import Sequences


@register("forecaster")
class NumericGenerator(definitions.NumericGenerator, Module):
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

    def __post_init__(self) -> None:
        super().__post_init__()
        start = torch.zeros(2) if self.head == "gaussian" else torch.special.ndtri(torch.tensor(LEVELS))
        nn.init.zeros_(self.output.weight)  # at first a random walk: the next values are the last ones plus noise
        with torch.no_grad():
            self.output.bias.copy_(start.repeat(self.embedding.size))

    def loss(self, inputs: Sequences, targets: Sequences, state: None = None) -> Loss:
        """The loss of `targets [B, T, D]` with teacher forcing, summed: negative log-likelihood in nats (`gaussian`) or
        pinball loss, the mean over the levels (`quantile`), of standardised values. `items` is the number of values."""
        distributions, _ = self(inputs)
        losses = self.losses(distributions.items(), targets.items())
        return Loss(losses.sum(), losses.numel())
