"""Ridge regression whose penalty is chosen by leave-one-out cross-validation, in closed form.

With H the matrix that maps targets to fitted values, the leave-one-out error of an example is its residual divided by
(1 − its leverage, the entry on H's diagonal). One eigendecomposition, of the smaller of ZᵀZ `[F, F]` and ZZᵀ `[N, N]`,
gives these for every penalty (Golub, Heath & Wahba 1979; Rifkin & Lippert 2007). Where both are large, the penalty is
chosen on a sample of the examples, and a Cholesky factorisation, which takes a tenth of the time, gives the fit.

Dimension letters: N examples, F features, C targets per example.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg

from stepscan.backends.batches import Array

ALPHAS = np.logspace(-3, 6, 19)
_MAX_EXAMPLES = 10_000
_MAX_DECOMPOSED = 2000  # rows of the matrix that is decomposed
_CONSTANT = 1e-6  # standard deviation, relative to the mean, below which a feature only differs by rounding
_MIN_RESIDUAL_SHARE = 1e-12  # of 1 − leverage


class RidgeFit(NamedTuple):
    """A linear model on unstandardised features, and its leave-one-out predictions."""

    weight: Array  # [F, C] float32
    bias: Array  # [C] float32
    leave_one_out: Array  # [n, C] float64: predictions for each example by the fit without it
    rows: Array  # [n] indices of these examples, ascending: all, or a random sample
    alpha: float  # the penalty


def fit_ridge(
    features: Array,
    targets: Array,
    *,
    emphasis: Array | None = None,
    alphas: Array = ALPHAS,
    max_examples: int = _MAX_EXAMPLES,
    seed: int = 0,
) -> RidgeFit:
    """The linear model with the least squared error in leave-one-out cross-validation.

    Args:
        features: `[N, F]`; standardised here; a constant feature gets the weight 0.
        targets: `[N, C]`; for classification 1 for the correct class and −1 for the others.
        emphasis: `[F]`, factors of the standardised features: a feature with a larger factor is penalised less.
        alphas: penalties to try, on the squared weights of standardised features.
        max_examples: with more examples than this, a random sample of this size is used.
        seed: random seed of the sample.

    Raises:
        ValueError: there are fewer than two examples, or not as many targets as examples.
    """
    if len(features) != len(targets) or len(features) < 2:
        raise ValueError(f"expected as many targets as examples, and at least 2, got {len(targets)}, {len(features)}")
    rows = np.arange(len(features))
    if len(rows) > max_examples:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_examples, replace=False))
        features, targets = features[rows], targets[rows]
    mean, deviation = _moments(features)
    if emphasis is not None:
        deviation = deviation / emphasis
    standardised = (features - mean.astype(features.dtype)) / deviation.astype(features.dtype)
    target_mean = targets.mean(axis=0, dtype=np.float64)
    if min(standardised.shape) > _MAX_DECOMPOSED:
        sample = np.random.default_rng(seed).choice(len(rows), _MAX_DECOMPOSED, replace=False)
        alpha = fit_ridge(features[sample], targets[sample], emphasis=emphasis, alphas=alphas).alpha
        errors, weight = _fit_by_cholesky(standardised, targets - target_mean, alpha)
    else:
        alpha, errors, weight = _fit_by_eigenvalues(standardised, targets - target_mean, alphas)
    weight /= deviation[:, None]
    bias = target_mean - mean @ weight
    return RidgeFit(weight.astype(np.float32), bias.astype(np.float32), targets - errors, rows, alpha)


def _moments(features: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature `[F]`; the latter is infinite for a constant feature."""
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    return mean, np.where(deviation > _CONSTANT * np.abs(mean), deviation, np.inf)


def _fit_by_eigenvalues(standardised: Array, targets: Array, alphas: Array) -> tuple[float, Array, Array]:
    """The best penalty, the leave-one-out errors `[N, C]` and the weights `[F, C]`, from features and targets of mean
    0."""
    examples, features = standardised.shape
    is_dual = examples <= features
    gram = standardised @ standardised.T if is_dual else standardised.T @ standardised
    eigenvalues, eigenvectors = linalg.eigh(gram.astype(np.float64), overwrite_a=True, check_finite=False)
    eigenvalues = np.maximum(eigenvalues, 0)
    if not is_dual:
        feature_axes, is_positive = eigenvectors, eigenvalues > eigenvalues[-1] * 1e-12
        eigenvectors = standardised @ eigenvectors[:, is_positive] / np.sqrt(eigenvalues[is_positive])
        eigenvalues = eigenvalues[is_positive]
    candidates = [(alpha, _leave_one_out_errors(eigenvalues, eigenvectors, targets, alpha)) for alpha in alphas]
    alpha, errors = min(candidates, key=lambda candidate: np.square(candidate[1]).mean())
    coefficients = (eigenvectors.T @ targets) / (eigenvalues + alpha)[:, None]
    if is_dual:
        return float(alpha), errors, standardised.T @ (eigenvectors @ coefficients)
    return float(alpha), errors, feature_axes[:, is_positive] @ (np.sqrt(eigenvalues)[:, None] * coefficients)


def _leave_one_out_errors(eigenvalues: Array, eigenvectors: Array, targets: Array, alpha: float) -> Array:
    """Targets `[N, C]` minus their leave-one-out predictions, by a fit with an intercept."""
    shrinkage = eigenvalues / (eigenvalues + alpha)
    fitted = eigenvectors @ (shrinkage[:, None] * (eigenvectors.T @ targets))
    leverage = np.square(eigenvectors) @ shrinkage + 1 / len(targets)  # the intercept's
    return (targets - fitted) / np.maximum(1 - leverage, _MIN_RESIDUAL_SHARE)[:, None]


def _fit_by_cholesky(standardised: Array, targets: Array, alpha: float) -> tuple[Array, Array]:
    """The leave-one-out errors `[N, C]` and the weights `[F, C]`, for one penalty."""
    examples, features = standardised.shape
    is_dual = examples <= features
    gram = (standardised @ standardised.T if is_dual else standardised.T @ standardised).astype(np.float64)
    gram.flat[:: len(gram) + 1] += alpha
    factor = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    if not is_dual:
        weight = linalg.cho_solve(factor, standardised.T @ targets, check_finite=False)
        half_solution = linalg.solve_triangular(factor[0], standardised.T, lower=True, check_finite=False)
        leverage = np.square(half_solution).sum(axis=0) + 1 / examples
        return (targets - standardised @ weight) / np.maximum(1 - leverage, _MIN_RESIDUAL_SHARE)[:, None], weight
    coefficients = linalg.cho_solve(factor, targets, check_finite=False)
    inverse, _ = linalg.lapack.dpotri(factor[0], lower=True, overwrite_c=True)
    residual_share = alpha * np.diagonal(inverse) - 1 / examples
    errors = alpha * coefficients / np.maximum(residual_share, _MIN_RESIDUAL_SHARE)[:, None]
    return errors, standardised.T @ coefficients
