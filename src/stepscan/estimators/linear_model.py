"""Linear models on sparse features by convex optimisation: logistic and least-squares regression.

Dimension letters: N examples, F features, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import linalg
from scipy.sparse import csr_matrix

from stepscan.backends.batches import Array
from stepscan.estimators.lbfgs import minimise

Loss = Callable[[Array], tuple[float, Array]]  # scores [N, C] → the loss summed over examples, and its gradient [N, C]
ALPHAS = np.logspace(-2, 2, 9)
_WORK = 1.5e10  # multiplications of a fit, about: under a minute of one core
_MIN_ITERATIONS, _MAX_ITERATIONS = 20, 100
_MAX_LEAVE_ONE_OUT = 2000  # examples on which a penalty is chosen


def fit(features: csr_matrix, loss: Loss, outputs: int, penalty: float) -> tuple[Array, Array]:
    """The weight `[F, C]` and bias `[C]` with the least loss of the scores plus `penalty / 2` · Σ weight².

    Args:
        features: `[N, F]` float32.
        loss: of scores `[N, C]`, which it may change in place.
        outputs: C.
        penalty: of the weights, not of the bias.
    """
    size, transposed = features.shape[1] * outputs, features.T.tocsr()

    def objective(point: Array) -> tuple[float, Array]:
        weight, bias = point[:size], point[size:]
        scores = features @ weight.reshape(-1, outputs)
        scores += bias
        value, score_gradient = loss(scores)
        gradient = np.empty_like(point)
        np.multiply(weight, np.float32(penalty), out=gradient[:size])
        gradient[:size] += (transposed @ score_gradient).reshape(-1)
        gradient[size:] = score_gradient.sum(axis=0)
        return value + penalty / 2 * float(weight @ weight), gradient

    iterations = int(np.clip(_WORK / max(1, features.nnz * outputs), _MIN_ITERATIONS, _MAX_ITERATIONS))
    point = minimise(objective, np.zeros(size + outputs, np.float32), iterations)
    return point[:size].reshape(-1, outputs), point[size:]


def cross_entropy(ids: Array, class_weights: Array | None = None) -> Loss:
    """Cross-entropy of the correct classes `[N]`, each example weighted by its class (`class_weights` `[C]`)."""
    rows = np.arange(len(ids))
    weights = np.ones(len(ids), np.float32) if class_weights is None else class_weights[ids].astype(np.float32)

    def loss(scores: Array) -> tuple[float, Array]:
        scores -= scores.max(axis=1, keepdims=True)
        target_scores = scores[rows, ids]
        np.exp(scores, out=scores)
        totals = scores.sum(axis=1)
        value = float(((np.log(totals) - target_scores) * weights).sum(dtype=np.float64))
        scores *= (weights / totals)[:, None]
        scores[rows, ids] -= weights
        return value, scores

    return loss


def binary_cross_entropy(targets: Array, weights: Array) -> Loss:
    """Binary cross-entropy of labels `[N, C]`, 0 or 1, weighted by `weights` `[N, C]`."""
    signs, weights = (1 - 2 * targets).astype(np.float32), weights.astype(np.float32)

    def loss(scores: Array) -> tuple[float, Array]:
        scores *= signs
        value = float((np.logaddexp(0, scores) * weights).sum(dtype=np.float64))
        return value, weights * signs / (1 + np.exp(-scores))

    return loss


def squared_error(targets: Array) -> Loss:
    """Half of the squared error of `targets` `[N, C]`."""

    def loss(scores: Array) -> tuple[float, Array]:
        scores -= targets
        return float(np.square(scores, dtype=np.float64).sum()) / 2, scores

    return loss


def best_penalty(features: csr_matrix, targets: Array) -> float:
    """The penalty of squared weights with the least squared error in leave-one-out cross-validation (closed form).

    Args:
        features: `[N, F]`; only the first 2,000 examples are used.
        targets: `[N]`.
    """
    features = features[:_MAX_LEAVE_ONE_OUT]
    targets = targets[:_MAX_LEAVE_ONE_OUT].astype(np.float64)
    gram = (features @ features.T).toarray().astype(np.float64)
    gram += gram.mean() - gram.mean(axis=0) - gram.mean(axis=1)[:, None]
    eigenvalues, eigenvectors = linalg.eigh(gram)
    eigenvalues, centred = np.maximum(eigenvalues, 0), targets - targets.mean()
    errors = []
    for alpha in ALPHAS:
        shrinkage = eigenvalues / (eigenvalues + alpha)
        leverage = np.square(eigenvectors) @ shrinkage + 1 / len(targets)
        predictions = eigenvectors @ (shrinkage * (eigenvectors.T @ centred))
        errors.append(np.square((centred - predictions) / np.maximum(1 - leverage, 1e-9)).mean())
    return float(ALPHAS[int(np.argmin(errors))])
