"""From scores to probabilities, in NumPy: each row's by itself, with the same bits in any batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def softmax(scores: Array) -> Array:
    """Scores `[…, K]` → probabilities of one of K `[…, K]`, float32; taken in float64."""
    shares = np.exp(_below_the_best(scores))
    return (shares / shares.sum(axis=-1, keepdims=True)).astype(np.float32)


def sigmoid(scores: Array) -> Array:
    """Scores `[…]` → probabilities of yes `[…]`, float32; taken in float64."""
    return np.exp(-np.logaddexp(0, -scores.astype(np.float64))).astype(np.float32)


def nats(scores: Array, targets: Array) -> Array:
    """Minus the natural logarithm of the probability of each target.

    Args:
        scores: `[…, K]`, unnormalised.
        targets: `[…]`, one of K each.

    Returns:
        `[…]`, float64.
    """
    below = scores - scores.max(axis=-1, keepdims=True)
    of_targets = np.take_along_axis(below, targets[..., None], axis=-1)[..., 0]
    return np.log(np.exp(below).sum(axis=-1, dtype=np.float64)) - of_targets


def _below_the_best(scores: Array) -> Array:
    scores = np.asarray(scores, dtype=np.float64, order="C")  # one layout: sums must not depend on the batch
    return scores - scores.max(axis=-1, keepdims=True)
