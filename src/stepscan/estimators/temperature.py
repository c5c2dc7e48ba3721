"""Scales of a classifier's scores: temperature scaling (Guo et al. 2017), and the same of two scores that are added.

The targets are smoothed by half an example of a uniform class, so that scores without an error do not give certainty.
Dimension letters: N examples, C classes.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, special

from stepscan.backends.batches import Array

MAX_SCALE = 1e4  # the inverse of the temperature


def fit_temperature(scores: Array, classes: Array) -> float:
    """The divisor of scores with the least cross-entropy.

    Args:
        scores: `[N, C]`, of examples that the model was not fitted on.
        classes: `[N]`, ids of the correct classes.
    """
    scores = np.asarray(scores, np.float64)
    targets = _smoothed(scores.shape, classes)

    def cross_entropy(log_scale: float) -> float:
        return -float((targets * special.log_softmax(np.exp(log_scale) * scores, axis=1)).sum())

    bounds = (-np.log(MAX_SCALE), np.log(MAX_SCALE))
    best = optimize.minimize_scalar(cross_entropy, bounds=bounds, method="bounded")
    return float(np.exp(-best.x))


def fit_scales(first: Array, second: Array, classes: Array) -> tuple[float, float]:
    """The factors, 0 or more, of two scores `[N, C]` whose sum then has the least cross-entropy (stacking: Wolpert
    1992); a convex problem. The other arguments are those of `fit_temperature`."""
    parts = np.stack([first, second]).astype(np.float64)
    sizes = np.maximum(parts.std(axis=(1, 2)), 1 / MAX_SCALE)  # so that both factors are about 1
    parts /= sizes[:, None, None]
    targets = _smoothed(first.shape, classes)
    target_scores = (parts * targets).sum(axis=(1, 2))

    def cross_entropy(factors: Array) -> tuple[float, Array]:
        scores = np.tensordot(factors, parts, axes=1)
        log_sums = special.logsumexp(scores, axis=1, keepdims=True)
        gradient = (np.exp(scores - log_sums) * parts).sum(axis=(1, 2)) - target_scores
        return float(log_sums.sum() - factors @ target_scores) / len(classes), gradient / len(classes)

    bounds = [(0.0, MAX_SCALE)] * 2
    best = optimize.minimize(cross_entropy, np.full(2, 0.5), jac=True, bounds=bounds, method="L-BFGS-B")
    return float(best.x[0] / sizes[0]), float(best.x[1] / sizes[1])


def _smoothed(shape: tuple[int, ...], classes: Array) -> Array:
    """The target distribution of each example, `[N, C]`."""
    smoothing = 1 / (2 * (len(classes) + 1))
    targets = np.full(shape, smoothing / shape[1])
    targets[np.arange(len(classes)), classes] += 1 - smoothing
    return targets
