"""Ridge regression whose penalty is chosen by leaving out one example at a time, all in closed form.

With H the matrix that maps targets to fitted values, what is predicted for an example by the fit without it misses the
target by (its residual) / (1 − its entry on H's diagonal). One eigendecomposition, of the smaller of ZᵀZ `[F, F]` and
ZZᵀ `[N, N]`, gives that for every penalty (Golub, Heath & Wahba 1979; Rifkin & Lippert 2007). Where both are large, the
penalty is chosen on a sample of the examples, and a Cholesky factor, which takes a tenth of the time, does the rest.

Dimension letters: N examples, F features, C targets of an example.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize, special

from stepscan.runtime.batches import Array

ALPHAS = np.logspace(-3, 6, 19)
_MOST = 10_000  # examples
_DECOMPOSED = 2000  # rows of the matrix whose eigenvalues are taken, at most
_CONSTANT = 1e-6  # spread, relative to the mean, below which a feature only differs by rounding
_LEAST = 1e-12  # of 1 − leverage
_SHARPEST = 1e4  # what scores are multiplied with at most


class Ridge(NamedTuple):
    """A linear model of features as they are, and what it says about examples it was not fitted on."""

    weight: Array  # [F, C] float32
    bias: Array  # [C] float32
    left_out: Array  # [n, C] float64: of each example by the fit without it
    rows: Array  # [n] which examples these are, ascending: all, or a random sample
    alpha: float  # the penalty


def ridge(
    features: Array,
    targets: Array,
    *,
    emphasis: Array | None = None,
    alphas: Array = ALPHAS,
    most: int = _MOST,
    seed: int = 0,
) -> Ridge:
    """The linear model that predicts targets best, by the squared error of examples that are left out.

    Args:
        features: `[N, F]`; each is standardised in here, one that never changes gets the weight 0.
        targets: `[N, C]`; of classes 1 for the right one and −1 for the others.
        emphasis: `[F]`, what standardised features are multiplied with: a larger one is penalised less.
        alphas: the penalties to try, on the squared weights of standardised features.
        most: N from which on a random sample of so many examples is used.
        seed: of the sample.

    Raises:
        ValueError: there are fewer than two examples, or not as many targets as features.
    """
    if len(features) != len(targets) or len(features) < 2:
        raise ValueError(f"expected as many targets as examples, and at least 2, got {len(targets)}, {len(features)}")
    rows = np.arange(len(features))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
        features, targets = features[rows], targets[rows]
    mean, deviation = _moments(features)
    if emphasis is not None:
        deviation = deviation / emphasis
    standard = (features - mean.astype(features.dtype)) / deviation.astype(features.dtype)
    level = targets.mean(axis=0, dtype=np.float64)
    if min(standard.shape) > _DECOMPOSED:
        sample = np.random.default_rng(seed).choice(len(rows), _DECOMPOSED, replace=False)
        alpha = ridge(features[sample], targets[sample], emphasis=emphasis, alphas=alphas).alpha
        errors, weight = _fit_by_cholesky(standard, targets - level, alpha)
    else:
        alpha, errors, weight = _fit(standard, targets - level, alphas)
    weight /= deviation[:, None]
    bias = level - mean @ weight
    return Ridge(weight.astype(np.float32), bias.astype(np.float32), targets - errors, rows, alpha)


def _moments(features: Array) -> tuple[Array, Array]:
    """Mean and deviation of each feature `[F]`; infinite for one that never changes."""
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    return mean, np.where(deviation > _CONSTANT * np.abs(mean), deviation, np.inf)


def _fit(standard: Array, targets: Array, alphas: Array) -> tuple[float, Array, Array]:
    """The best penalty, the errors of examples left out `[N, C]`, and the weights `[F, C]`; all means are 0."""
    examples, features = standard.shape
    is_dual = examples <= features
    gram = standard @ standard.T if is_dual else standard.T @ standard
    spread, axes = linalg.eigh(gram.astype(np.float64), overwrite_a=True, check_finite=False)
    spread = np.maximum(spread, 0)
    if not is_dual:
        axes_of_features, kept = axes, spread > spread[-1] * 1e-12
        axes = standard @ axes[:, kept] / np.sqrt(spread[kept])
        spread = spread[kept]
    found = [(alpha, _left_out(spread, axes, targets, alpha)) for alpha in alphas]
    alpha, errors = min(found, key=lambda one: np.square(one[1]).mean())
    inner = (axes.T @ targets) / (spread + alpha)[:, None]
    if is_dual:
        return float(alpha), errors, standard.T @ (axes @ inner)
    return float(alpha), errors, axes_of_features[:, kept] @ (np.sqrt(spread)[:, None] * inner)


def _left_out(spread: Array, axes: Array, targets: Array, alpha: float) -> Array:
    """How far each target `[N, C]` is from its prediction by the fit, intercept included, without its example."""
    kept = spread / (spread + alpha)
    fitted = axes @ (kept[:, None] * (axes.T @ targets))
    leverage = np.square(axes) @ kept + 1 / len(targets)  # the intercept's
    return (targets - fitted) / np.maximum(1 - leverage, _LEAST)[:, None]


def _fit_by_cholesky(standard: Array, targets: Array, alpha: float) -> tuple[Array, Array]:
    """The errors of examples left out and the weights, for one penalty."""
    examples, features = standard.shape
    is_dual = examples <= features
    gram = (standard @ standard.T if is_dual else standard.T @ standard).astype(np.float64)
    gram.flat[:: len(gram) + 1] += alpha
    factor = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    if not is_dual:
        weight = linalg.cho_solve(factor, standard.T @ targets, check_finite=False)
        solved = linalg.solve_triangular(factor[0], standard.T, lower=True, check_finite=False)
        leverage = np.square(solved).sum(axis=0) + 1 / examples
        return (targets - standard @ weight) / np.maximum(1 - leverage, _LEAST)[:, None], weight
    inner = linalg.cho_solve(factor, targets, check_finite=False)
    inverse, _ = linalg.lapack.dpotri(factor[0], lower=True, overwrite_c=True)
    kept = alpha * np.diagonal(inverse) - 1 / examples
    return alpha * inner / np.maximum(kept, _LEAST)[:, None], standard.T @ inner


def temperature(scores: Array, classes: Array) -> float:
    """What scores of classes are divided by to be log-odds: the number with the least cross-entropy.

    Half an example more than there are tells every class, so that scores without an error do not make certain.

    Args:
        scores: `[N, C]`, of examples that they were not fitted on.
        classes: `[N]`, the right one.
    """
    scores = np.asarray(scores, np.float64)
    share = 1 / (2 * (len(classes) + 1))
    wanted = np.full(scores.shape, share / scores.shape[1])
    wanted[np.arange(len(classes)), classes] += 1 - share

    def nats(log_sharpness: float) -> float:
        return -float((wanted * special.log_softmax(np.exp(log_sharpness) * scores, axis=1)).sum())

    best = optimize.minimize_scalar(nats, bounds=(-np.log(_SHARPEST), np.log(_SHARPEST)), method="bounded")
    return float(np.exp(-best.x))
