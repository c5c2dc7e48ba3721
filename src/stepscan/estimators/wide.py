"""Fits the wide part of a classifier: a linear model on fixed features, by convex optimisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from stepscan.estimators.lbfgs import minimise
from stepscan.runtime.batches import Array
from stepscan.runtime.wide.ngrams import NGrams
from stepscan.runtime.wide.scores import Wide

_WEIGHTS = 2**23  # of all features and outputs together: 32 MB
_C = 20.0

def fit_lr(M, ids, outputs, iterations=100, tolerance=1e-4, C=_C, trace=None):
    """x"""
    N, F = M.shape
    binary = outputs == 2
    columns = 1 if binary else outputs
    T = M.T.tocsr() if outputs > 8 else M.T
    onehot = np.arange(N)

    def function(flat):
        W = flat[:-columns].reshape(F, columns); b = flat[-columns:]
        S = M @ W; S += b
        if binary:
            sign = (1 - 2 * ids).astype(np.float32)
            z = S[:, 0] * sign
            loss = float(np.logaddexp(0, z).sum(dtype=np.float64))
            G = (sign / (1 + np.exp(-z)))[:, None]
        else:
            S -= S.max(1, keepdims=True)
            of_truth = S[onehot, ids].sum(dtype=np.float64)
            np.exp(S, out=S); tot = S.sum(1)
            loss = float(np.log(tot).sum(dtype=np.float64) - of_truth)
            S /= tot[:, None]; S[onehot, ids] -= 1
            G = S
        g = np.empty_like(flat)
        g[:-columns] = (T @ G).reshape(-1)
        g[:-columns] += flat[:-columns] / np.float32(C)
        g[-columns:] = G.sum(0)
        v = loss + float(flat[:-columns] @ flat[:-columns]) / (2 * C)
        if trace: trace(flat, v)
        return v, g
    flat = minimise(function, np.zeros(F * columns + columns, np.float32), iterations, tolerance)
    W = flat[:-columns].reshape(F, columns); b = flat[-columns:]
    if binary: W = np.concatenate([-W/2, W/2], 1); b = np.concatenate([-b/2, b/2])
    return W, b
