"""From scores to tokens: temperature, top-k, top-p and min-p sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stepscan.decoding.checks import is_whole, is_within
from stepscan.errors import SettingsError, StepscanError

Array = NDArray[Any]


def log_softmax(scores: ArrayLike) -> Array:
    """The natural logarithm of each token's probability.

    Args:
        scores: `[N, V]`, unnormalised; -inf forbids a token.

    Returns:
        `[N, V]` in float64.

    Raises:
        StepscanError: a row has NaN or +inf, or nothing but -inf.
    """
    shifted = _shifted(scores)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Sampler:
    """Draws one token per row. The settings apply in the order of the arguments.

    The most probable token is always kept. Among equally probable tokens, those with lower ids are kept first.

    Args:
        temperature: divides the scores; 0 always takes the most probable token (among equals, the lowest id).
        top_k: keep only the k most probable tokens (Fan et al. 2018); 0 is off.
        top_p: keep only the most probable tokens whose probabilities add up to p, of those that top_k kept (nucleus
            sampling, Holtzman et al. 2020); 1 is off.
        min_p: keep only tokens at least this many times as probable as the most probable one (Nguyen et al. 2024); 0 is
            off.

    Raises:
        SettingsError: a setting is out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not is_within(self.temperature, 0):
            raise SettingsError(f"temperature: expected a finite number, 0 (greedy) or more, got {self.temperature!r}")
        if not is_whole(self.top_k) or not 0 <= self.top_k < 2**63:
            raise SettingsError(f"top_k: expected a whole number, 0 (off) or more, below 2**63, got {self.top_k!r}")
        if not is_within(self.top_p, 0, 1) or self.top_p == 0:
            raise SettingsError(f"top_p: expected a number above 0 and at most 1 (off), got {self.top_p!r}")
        if not is_within(self.min_p, 0, 1):
            raise SettingsError(f"min_p: expected a number from 0 (off) to 1, got {self.min_p!r}")

    def probabilities(self, scores: ArrayLike) -> Array:
        """The distribution from which tokens are drawn.

        Args:
            scores: `[N, V]`, unnormalised; -inf forbids a token.

        Returns:
            `[N, V]` in float64; rows sum to 1.

        Raises:
            StepscanError: a row has NaN or +inf, or nothing but -inf.
        """
        shifted = _shifted(scores)
        if self.temperature == 0:
            weights = (np.arange(shifted.shape[-1]) == shifted.argmax(axis=-1)[:, None]).astype(np.float64)
        else:
            weights = np.exp(shifted / self.temperature)
        if self.top_k or self.top_p < 1 or self.min_p:
            weights = np.where(self._kept(weights), weights, 0.0)
        return weights / weights.sum(axis=-1, keepdims=True)

    def pick(self, scores: ArrayLike, uniforms: Array) -> Array:
        """Tokens `[N]`, drawn by inverting the cumulative distribution, so that a row's depends on its own scores and
        random number alone.

        Args:
            scores: `[N, V]`.
            uniforms: `[N]` random numbers in [0, 1).

        Raises:
            StepscanError: a row has NaN or +inf, or nothing but -inf.
        """
        cumulative = self.probabilities(scores).cumsum(axis=-1)
        target = uniforms[:, None] * cumulative[:, -1:]
        return (cumulative <= target).sum(axis=-1)

    def __call__(self, scores: ArrayLike, random: np.random.Generator) -> Array:
        """Tokens `[N]` for scores `[N, V]`, with one random number per row; errors as in `pick`."""
        return self.pick(scores, random.random(len(np.asarray(scores))))

    def _kept(self, weights: Array) -> Array:
        """Which tokens are kept, `[N, V]`. Each setting keeps the n most probable tokens, so the smallest n counts."""
        descending = -np.sort(-weights, axis=-1)[:, : self.top_k or None]
        size = np.full(len(weights), descending.shape[-1])
        if self.top_p < 1:
            mass = descending.cumsum(axis=-1)
            size = np.minimum(size, 1 + (mass < self.top_p * mass[:, -1:]).sum(axis=-1))
        size = np.minimum(size, (descending >= self.min_p * descending[:, :1]).sum(axis=-1))
        return largest(weights, size, np.take_along_axis(descending, size[:, None] - 1, axis=-1))


def largest(values: Array, size: ArrayLike, threshold: Array) -> Array:
    """A mask of the largest values of each row; among values equal to the threshold, the leftmost come first.

    Args:
        values: `[N, L]`.
        size: how many per row, one for all rows or `[N]`.
        threshold: `[N, 1]`, the smallest of them.

    Returns:
        `[N, L]` of bool.
    """
    above = values > threshold
    tied = values == threshold
    room = np.asarray(size) - above.sum(axis=-1)
    if (tied.sum(axis=-1) > room).any():
        tied &= tied.cumsum(axis=-1) <= room[:, None]
    return above | tied


def _shifted(scores: ArrayLike) -> Array:
    """The scores in float64, minus each row's maximum, so that exponentials cannot overflow."""
    scores = np.asarray(scores, dtype=np.float64, order="C")  # one layout: sums must not depend on the batch
    best = scores.max(axis=-1, keepdims=True)
    if not np.isfinite(best).all():
        row = int(np.flatnonzero(~np.isfinite(best))[0])
        got = (
            f"only -inf in row {row}: every token is forbidden" if best[row] == -np.inf else f"NaN or +inf in row {row}"
        )
        raise StepscanError(f"expected finite scores, or -inf for a forbidden token, got {got}")
    return scores - best
