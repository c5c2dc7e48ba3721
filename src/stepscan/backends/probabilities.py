"""From scores to probabilities, in NumPy: row by row, so that the bits do not depend on the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def softmax(scores: Array) -> Array:
    """Softmax of scores `[…, K]`, computed in float64; returns float32."""
    exponentials = np.exp(_shift_max(scores))
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)


def sigmoid(scores: Array) -> Array:
    """Sigmoid of scores `[…]`, computed in float64; returns float32."""
    return np.exp(-np.logaddexp(0, -scores.astype(np.float64))).astype(np.float32)


def nats(scores: Array, targets: Array) -> Array:
    """The negative log-likelihood of each target, in nats.

    Args:
        scores: `[…, K]`, unnormalised.
        targets: `[…]`, indices 0 … K − 1.

    Returns:
        `[…]`, float64.
    """
    shifted = scores - scores.max(axis=-1, keepdims=True)
    target_scores = np.take_along_axis(shifted, targets[..., None], axis=-1)[..., 0]
    return np.log(np.exp(shifted).sum(axis=-1, dtype=np.float64)) - target_scores


def _shift_max(scores: Array) -> Array:
    scores = np.asarray(scores, dtype=np.float64, order="C")  # a fixed layout: sums must not depend on the batch
    return scores - scores.max(axis=-1, keepdims=True)
