"""From scores to tokens: the softmax, its truncations, and one draw a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stepscan.decoding.checks import is_whole, is_within
from stepscan.errors import SettingsError, StepscanError

Array = NDArray[Any]


def log_softmax(scores: ArrayLike) -> Array:
    """The natural logarithm of each token's probability, in float64.

    Args:
        scores: `[N, V]`, unnormalised; -inf forbids a token.

    Raises:
        StepscanError: a row has NaN or +inf, or nothing but -inf.
    """
    shifted = _shifted(scores)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Sampler:
    """Draws one token a row; the settings narrow the choice in the order in which they stand here.

    Args:
        temperature: scores are divided by it; 0 always takes the best token (of equals, the lowest id).
        top_k: only the k most probable tokens remain (Fan et al. 2018); 0 is off.
        top_p: only the smallest set of most probable tokens whose mass reaches p remains, of the mass that top_k left
            (nucleus sampling, Holtzman et al. 2020); 1 is off.
        min_p: only tokens at least this fraction as probable as the best remain (Nguyen et al. 2024); 0 is off.

    The best token always remains. Where equally probable tokens compete for the last place, lower ids go first.

    Raises:
        SettingsError: a setting is out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not is_within(self.temperature, 0):
            raise SettingsError(f"temperature must be a finite number, 0 (greedy) or more, but is {self.temperature!r}")
        if not is_whole(self.top_k) or not 0 <= self.top_k < 2**63:
            raise SettingsError(f"top_k must be a whole number, 0 (off) or more, below 2**63, but is {self.top_k!r}")
        if not is_within(self.top_p, 0, 1) or self.top_p == 0:
            raise SettingsError(f"top_p must be more than 0 and at most 1 (off), but is {self.top_p!r}")
        if not is_within(self.min_p, 0, 1):
            raise SettingsError(f"min_p must be between 0 (off) and 1, but is {self.min_p!r}")

    def probabilities(self, scores: ArrayLike) -> Array:
        """What the tokens are drawn from: scores `[N, V]` to probabilities `[N, V]` in float64, rows summing to 1.

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
        """Tokens `[N]` by the inverse of the cumulative distribution at `uniforms` `[N]`, each in [0, 1).

        One number a row, so that what a row draws depends on its own scores and its own number alone.
        """
        cumulative = self.probabilities(scores).cumsum(axis=-1)
        target = uniforms[:, None] * cumulative[:, -1:]
        return (cumulative <= target).sum(axis=-1)

    def __call__(self, scores: ArrayLike, random: np.random.Generator) -> Array:
        """Tokens `[N]` for scores `[N, V]`, with one number of `random` a row."""
        return self.pick(scores, random.random(len(np.asarray(scores))))

    def _kept(self, weights: Array) -> Array:
        """Which tokens remain, `[N, V]`. Each setting keeps the n most probable tokens, so the smallest n decides."""
        descending = -np.sort(-weights, axis=-1)[:, : self.top_k or None]
        size = np.full(len(weights), descending.shape[-1])
        if self.top_p < 1:
            mass = descending.cumsum(axis=-1)
            size = np.minimum(size, 1 + (mass < self.top_p * mass[:, -1:]).sum(axis=-1))
        size = np.minimum(size, (descending >= self.min_p * descending[:, :1]).sum(axis=-1))
        return largest(weights, size, np.take_along_axis(descending, size[:, None] - 1, axis=-1))


def largest(values: Array, size: ArrayLike, threshold: Array) -> Array:
    """Mask `[N, L]` of each row's `size` largest values, the smallest of which is `threshold` `[N, 1]`.

    Of values equal to the threshold those further left go first.
    """
    above = values > threshold
    tied = values == threshold
    room = np.asarray(size) - above.sum(axis=-1)
    if (tied.sum(axis=-1) > room).any():
        tied &= tied.cumsum(axis=-1) <= room[:, None]
    return above | tied


def _shifted(scores: ArrayLike) -> Array:
    """The scores in float64, less each row's best, so that exponentials cannot overflow."""
    scores = np.asarray(scores, dtype=np.float64, order="C")  # one layout: sums must not depend on the batch
    best = scores.max(axis=-1, keepdims=True)
    if not np.isfinite(best).all():
        row = int(np.flatnonzero(~np.isfinite(best))[0])
        found = "nothing but -inf: every token is forbidden" if best[row] == -np.inf else "NaN or +inf"
        raise StepscanError(f"scores must be finite, or -inf for a forbidden token, but row {row} has {found}")
    return scores - best
