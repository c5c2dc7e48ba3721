"""The embedding of numeric sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from stepscan.definitions import embeddings as definitions
from stepscan.errors import SettingsError
from stepscan.modules import Module
from stepscan.registry import register

_TINY = 1e-150  # a standard deviation whose square underflows in float64
_CONSTANT = 1e-12  # standard deviation, relative to the mean, below which a dimension is constant up to rounding


@register("numbers")
class NumericEmbedding(definitions.NumericEmbedding, Module):
    """Standardises each dimension and projects: `x_t → W ((x_t − mean) / deviation) + b`.

    Mean and deviation are those of the training data (`standardise`), in float64 buffers that are saved with the
    weights, so that the inputs of a trained model are in the original units.

    Args:
        size: D, dimensions of a step.
        output_size: E, of the projection; None for no projection, E = D.
        dropout: probability for the elements of a projected step in training.
        noise: standard deviation of Gaussian noise that is added to the standardised values in training.

    Raises:
        ValueError: `dropout` is not in [0, 1), or `noise` is negative.
    """

    def standardise(self, series: Sequence[np.ndarray]) -> Self:
        """Sets mean and standard deviation to those of the training series.

        Args:
            series: `[T, D]` each. The deviation of a constant dimension is set to 1.

        Raises:
            SettingsError: there are no steps, or the standard deviation overflows or underflows.
        """
        steps = np.concatenate([np.asarray(values, dtype=np.float64) for values in series])
        if not len(steps):
            raise SettingsError("series: expected at least one step to train on, got only empty series")
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = steps.mean(axis=0), steps.std(axis=0)
        if not (np.isfinite(mean) & np.isfinite(deviation)).all():
            raise SettingsError(
                f"series: expected values that float64 can standardise, got {np.abs(steps).max():.3g}; rescale them"
            )
        if ((deviation < _TINY) & (steps.min(axis=0) < steps.max(axis=0))).any():
            raise SettingsError(
                f"series: expected values that float64 can standardise, got {np.abs(steps).max():.3g}; rescale them"
            )
        constant = deviation <= _CONSTANT * np.abs(mean)
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.where(constant, 1.0, deviation)))
        return self

    def step(self, x: Tensor) -> Tensor:
        """Values `[…, D]` → vectors `[…, E]`, with noise in training."""
        x = self.standardised(x)
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        return self.projected(x)

    def standardised(self, x: Tensor) -> Tensor:
        """`(x − mean) / deviation`, computed in float64 and returned in the model's dtype."""
        dtype = torch.get_default_dtype() if self.projection is None else self.projection.weight.dtype
        return ((x.to(self.mean.dtype) - self.mean) / self.deviation).to(dtype)
