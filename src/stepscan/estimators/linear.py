"""Linear models of sparse features, by convex optimisation: classes, labels, numbers.

Dimension letters: N examples, F features, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import linalg
from scipy.sparse import csr_matrix

from stepscan.estimators.lbfgs import minimise
from stepscan.runtime.batches import Array

Loss = Callable[[Array], tuple[float, Array]]  # of scores [N, C]: the sum over examples, and its gradient
ALPHAS = np.logspace(-2, 2, 9)
_WORK = 1.5e10  # numbers that are multiplied, about: under a minute of one core
_FEWEST, _MOST = 20, 100  # iterations
_LEAVING_OUT = 2000  # examples that a penalty is chosen on


def fit(rows: csr_matrix, loss: Loss, outputs: int, penalty: float) -> tuple[Array, Array]:
    """The weight `[F, C]` and bias `[C]` with the least loss of the scores plus `penalty / 2` · Σ weight².

    Args:
        rows: features `[N, F]` of float32.
        loss: of scores `[N, C]`, which it may change.
        outputs: C.
        penalty: of the weights, not of the bias.
    """
    size, columns = rows.shape[1] * outputs, rows.T.tocsr()

    def function(point: Array) -> tuple[float, Array]:
        weight, bias = point[:size], point[size:]
        scores = rows @ weight.reshape(-1, outputs)
        scores += bias
        value, of_scores = loss(scores)
        gradient = np.empty_like(point)
        np.multiply(weight, np.float32(penalty), out=gradient[:size])
        gradient[:size] += (columns @ of_scores).reshape(-1)
        gradient[size:] = of_scores.sum(axis=0)
        return value + penalty / 2 * float(weight @ weight), gradient

    iterations = int(np.clip(_WORK / max(1, rows.nnz * outputs), _FEWEST, _MOST))
    found = minimise(function, np.zeros(size + outputs, np.float32), iterations)
    return found[:size].reshape(-1, outputs), found[size:]


def of_classes(ids: Array, weights: Array | None = None) -> Loss:
    """Cross-entropy of the right classes `[N]`; `weights` `[C]` say how much an example of each counts."""
    places = np.arange(len(ids))
    counted = np.ones(len(ids), np.float32) if weights is None else weights[ids].astype(np.float32)

    def loss(scores: Array) -> tuple[float, Array]:
        scores -= scores.max(axis=1, keepdims=True)
        right = scores[places, ids]
        np.exp(scores, out=scores)
        totals = scores.sum(axis=1)
        value = float(((np.log(totals) - right) * counted).sum(dtype=np.float64))
        scores *= (counted / totals)[:, None]
        scores[places, ids] -= counted
        return value, scores

    return loss


def of_labels(targets: Array, weights: Array) -> Loss:
    """Binary cross-entropy of labels `[N, C]`, 0 or 1, each counted as often as `weights` `[N, C]` say."""
    signs, weights = (1 - 2 * targets).astype(np.float32), weights.astype(np.float32)

    def loss(scores: Array) -> tuple[float, Array]:
        scores *= signs
        value = float((np.logaddexp(0, scores) * weights).sum(dtype=np.float64))
        return value, weights * signs / (1 + np.exp(-scores))

    return loss


def of_numbers(targets: Array) -> Loss:
    """Half of the squared error of `[N, C]`."""

    def loss(scores: Array) -> tuple[float, Array]:
        scores -= targets
        return float(np.square(scores, dtype=np.float64).sum()) / 2, scores

    return loss


def best_penalty(rows: csr_matrix, targets: Array) -> float:
    """The penalty of squared weights that predicts left out examples best (the first ones, of many; closed form).

    Args:
        rows: features `[N, F]`.
        targets: numbers `[N]`.
    """
    rows, targets = rows[:_LEAVING_OUT], targets[:_LEAVING_OUT].astype(np.float64)
    gram = (rows @ rows.T).toarray().astype(np.float64)
    gram += gram.mean() - gram.mean(axis=0) - gram.mean(axis=1)[:, None]
    spread, axes = linalg.eigh(gram)
    spread, centred = np.maximum(spread, 0), targets - targets.mean()
    errors = []
    for alpha in ALPHAS:
        kept = spread / (spread + alpha)
        leverage = np.square(axes) @ kept + 1 / len(targets)
        fitted = axes @ (kept * (axes.T @ centred))
        errors.append(np.square((centred - fitted) / np.maximum(1 - leverage, 1e-9)).mean())
    return float(ALPHAS[int(np.argmin(errors))])
