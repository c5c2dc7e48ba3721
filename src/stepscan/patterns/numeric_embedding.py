"""Input map for numeric sequences: what `Embedding` is for symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from stepscan.dropout_masks import dropout
from stepscan.errors import SettingsError
from stepscan.fields import check_noise, check_probability
from stepscan.kernels.pointwise import Linear
from stepscan.registry import register
from stepscan.sequences import Sequences

_TINY = 1e-150  # a spread whose square float64 cannot hold
_CONSTANT = 1e-12  # spread, relative to the mean, below which a dimension only differs by rounding


@register("numbers")
class NumericEmbedding(nn.Module):
    """Standardises each dimension and projects: `x_t → W ((x_t − mean) / deviation) + b`.

    Mean and deviation are those of the training data (`standardise`), kept in float64 as buffers and so saved with the
    weights: whoever uses the model gives numbers as they are, in their own units.

    Args:
        size: D, dimensions of a step.
        output_size: E, of the projection; None gives the D standardised numbers themselves.
        dropout: probability that a number of a projected step is dropped in training.
        noise: standard deviation of Gaussian noise on the standardised numbers in training.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: int, output_size: int | None = None, dropout: float = 0.0, noise: float = 0.0) -> None:
        super().__init__()
        check_probability(dropout=dropout)
        check_noise(noise=noise)
        self.size, self.output_size = size, output_size or size
        self.dropout, self.noise = dropout, noise
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(size, dtype=torch.float64))
        self.projection = Linear(size, output_size) if output_size else None

    def standardise(self, series: Sequence[np.ndarray]) -> Self:
        """Take mean and deviation from series `[T, D]`; a dimension that never changes is only shifted to 0.

        Raises:
            SettingsError: there are no steps at all, or numbers so large, or so small, that their spread is lost.
        """
        steps = np.concatenate([np.asarray(one, dtype=np.float64) for one in series])
        if not len(steps):
            raise SettingsError("there are no numbers to learn from: all series are empty")
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = steps.mean(axis=0), steps.std(axis=0)
        if not (np.isfinite(mean) & np.isfinite(deviation)).all():
            raise SettingsError(
                f"the numbers are too large to standardise: up to {np.abs(steps).max():.3g}; scale them"
            )
        if ((deviation < _TINY) & (steps.min(axis=0) < steps.max(axis=0))).any():
            raise SettingsError(
                f"the numbers are too small to standardise: up to {np.abs(steps).max():.3g}; scale them"
            )
        constant = deviation <= _CONSTANT * np.abs(mean)
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.where(constant, 1.0, deviation)))
        return self

    def forward(self, inputs: Sequences) -> Sequences:
        """Numbers `[B, T, D]` → vectors `[B, T, E]`."""
        return inputs.replace(self.step(inputs.zeroed().data)).zeroed()

    def step(self, x: Tensor) -> Tensor:
        """Numbers `[…, D]` → vectors `[…, E]`."""
        x = self.standardised(x)
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        return x if self.projection is None else dropout(self.projection(x), self.dropout, self.training)

    def standardised(self, x: Tensor) -> Tensor:
        """`(x − mean) / deviation`, taken in float64 and given in the model's dtype."""
        dtype = torch.get_default_dtype() if self.projection is None else self.projection.weight.dtype
        return ((x.to(self.mean.dtype) - self.mean) / self.deviation).to(dtype)

    def restored(self, z: Tensor) -> Tensor:
        """The inverse of `standardised`, in float64."""
        return self.mean + self.deviation * z
