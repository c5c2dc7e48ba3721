"""Fits the wide part of a classifier (Cheng et al. 2016): a linear model on fixed features.

Of texts it is logistic or least-squares regression on the TF-IDF of n-grams, of series ridge regression on random
convolution features. Dimension letters: N examples, F features, C outputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from stepscan.backends.batches import Array
from stepscan.data.series.checks import are_numbers
from stepscan.errors import SettingsError
from stepscan.estimators import linear_model
from stepscan.estimators.ridge import RidgeFit, fit_ridge
from stepscan.estimators.temperature import fit_temperature
from stepscan.wide.convolutions import ConvolutionFeatures
from stepscan.wide.model import WideModel
from stepscan.wide.ngrams import NGramFeatures

_INVERSE_PENALTY = 40.0  # of logistic regression, scikit-learn's C
_MAX_WEIGHTS = 2**23  # of all features and outputs together: 32 MB
_MAX_TEXTS = 100_000  # in a fit, and …
_MAX_CHARACTERS = 2**25  # … characters of all of them together, and …
_MAX_SCORED_CHARACTERS = 2.5e8  # … characters times outputs
_MAX_SERIES, _MAX_VALUES = 8_000, 2**23  # in a fit, and values of all of them together


def fit_wide(
    X: Sequence[Any],
    targets: Array,
    problem_type: str,
    outputs: int,
    *,
    class_weights: Array | None = None,
    seed: int = 0,
) -> WideModel:
    """Fit the linear model on TF-IDF features of texts, or on convolution features of series.

    With very many examples, it is fitted on a random sample of them.

    Args:
        X: texts, or series `[T, D]`.
        targets: class ids `[N]`, labels `[N, C]` (0 or 1), or values `[N]`.
        problem_type: `classification`, `multilabel` or `regression`.
        outputs: C: the number of classes or labels, or 1.
        class_weights: `[C]`, weight of the examples of each class, or of positive labels; None: 1.
        seed: random seed of the sample.
    """
    is_numeric = are_numbers(X)
    rows = _sample(X, is_numeric, outputs, seed)
    X, targets = [X[i] for i in rows], np.asarray(targets)[rows]
    weights = np.ones(outputs) if class_weights is None else np.asarray(class_weights, np.float64)
    return _FITS[is_numeric, problem_type](X, targets, outputs, weights)


def _sample(X: Sequence[Any], is_numeric: bool, outputs: int, seed: int) -> Array:
    """Indices of the examples to fit on, ascending: as many as cost a minute."""
    sizes = np.array([series.size if is_numeric else len(series) for series in X], np.int64)
    order = np.random.default_rng(seed).permutation(len(X))
    max_examples, max_size = (
        (_MAX_SERIES, _MAX_VALUES)
        if is_numeric
        else (_MAX_TEXTS, min(_MAX_CHARACTERS, _MAX_SCORED_CHARACTERS / outputs))
    )
    count = int(np.searchsorted(np.cumsum(sizes[order]), max_size, "right"))
    return np.sort(order[: max(1, min(max_examples, count))])


# Texts ----------------------------------------------------------------------------------------------------------------


def _text_features(X: Sequence[str], outputs: int) -> tuple[NGramFeatures, csr_matrix]:
    ngrams = NGramFeatures.fit(X, max_features=_MAX_WEIGHTS // outputs)
    rows = ngrams.transform(X)
    return ngrams, csr_matrix((rows.values, rows.columns, rows.indptr), (len(X), ngrams.size))


def _classify_texts(X: Sequence[str], ids: Array, outputs: int, weights: Array) -> WideModel:
    ngrams, features = _text_features(X, outputs)
    if outputs != 2:
        loss = linear_model.cross_entropy(ids, weights)
        return WideModel(ngrams, *linear_model.fit(features, loss, outputs, 1 / _INVERSE_PENALTY))
    loss = linear_model.binary_cross_entropy(ids[:, None], weights[ids][:, None])  # one score: the difference of both
    weight, bias = linear_model.fit(features, loss, 1, 1 / _INVERSE_PENALTY)
    return WideModel(ngrams, np.hstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2]))


def _label_texts(X: Sequence[str], targets: Array, outputs: int, weights: Array) -> WideModel:
    ngrams, features = _text_features(X, outputs)
    loss = linear_model.binary_cross_entropy(targets, np.where(targets > 0, weights, 1))
    return WideModel(ngrams, *linear_model.fit(features, loss, outputs, 1 / _INVERSE_PENALTY))


def _regress_texts(X: Sequence[str], targets: Array, outputs: int, weights: Array) -> WideModel:
    ngrams, features = _text_features(X, outputs)
    values = targets.reshape(-1).astype(np.float64)
    mean, deviation = values.mean(), values.std() or 1.0
    standardised = ((values - mean) / deviation).astype(np.float32)
    penalty = linear_model.best_penalty(features, standardised)
    weight, bias = linear_model.fit(features, linear_model.squared_error(standardised[:, None]), 1, penalty)
    return WideModel(ngrams, weight * np.float32(deviation), (bias * deviation + mean).astype(np.float32))


# Series ---------------------------------------------------------------------------------------------------------------


def _fit_series(X: Sequence[Array], targets: Array) -> tuple[ConvolutionFeatures, RidgeFit]:
    convolutions = ConvolutionFeatures.fit(X)
    return convolutions, fit_ridge(convolutions.transform(X), targets, emphasis=convolutions.emphasis)


def _classify_series(X: Sequence[Array], ids: Array, outputs: int, weights: Array) -> WideModel:
    convolutions, fit = _fit_series(X, 2.0 * np.eye(outputs)[ids] - 1)
    scale = np.float32(1 / fit_temperature(fit.leave_one_out, ids[fit.rows]))
    return WideModel(convolutions, fit.weight * scale, fit.bias * scale + np.log(weights).astype(np.float32))


def _label_series(X: Sequence[Array], targets: Array, outputs: int, weights: Array) -> WideModel:
    convolutions, fit = _fit_series(X, 2.0 * targets - 1)
    scores = fit.leave_one_out.reshape(-1, 1) * (-1, 1)
    scale = np.float32(2 / fit_temperature(scores, targets[fit.rows].reshape(-1).astype(np.int64)))
    return WideModel(convolutions, fit.weight * scale, fit.bias * scale + np.log(weights).astype(np.float32))


def _regress_series(X: Sequence[Array], targets: Array, outputs: int, weights: Array) -> WideModel:
    convolutions, fit = _fit_series(X, targets.reshape(-1, 1).astype(np.float64))
    return WideModel(convolutions, fit.weight, fit.bias)


_FITS: dict[tuple[bool, str], Callable[..., WideModel]] = {
    (False, "classification"): _classify_texts,
    (False, "multilabel"): _label_texts,
    (False, "regression"): _regress_texts,
    (True, "classification"): _classify_series,
    (True, "multilabel"): _label_series,
    (True, "regression"): _regress_series,
}


# Averages -------------------------------------------------------------------------------------------------------------


def mean_wide(wide_parts: Sequence[WideModel | None]) -> WideModel | None:
    """The wide part with the mean of several wide parts' weights; None if all are None.

    Raises:
        SettingsError: they have different features, or only some are None.
    """
    present = [wide for wide in wide_parts if wide is not None]
    if not present:
        return None
    first = present[0]
    for number, wide in enumerate(wide_parts, start=1):
        if wide is None or not _have_same_features(first, wide):
            raise SettingsError(
                f"expected models whose wide parts have the same features, got others in model {number}; "
                "an ensemble can join them"
            )
    names = [field.name for field in dataclasses.fields(first) if isinstance(getattr(first, field.name), np.ndarray)]
    arrays = {name: np.mean([getattr(wide, name) for wide in present], axis=0) for name in names}
    deep_share, wide_share = np.mean([wide.shares for wide in present], axis=0).tolist()
    return dataclasses.replace(first, **arrays, shares=(deep_share, wide_share))


def _have_same_features(first: WideModel, second: WideModel) -> bool:
    first_tensors, second_tensors = first.features.tensors(), second.features.tensors()
    return first.features.description() == second.features.description() and all(
        np.array_equal(first_tensors[name], second_tensors[name]) for name in first_tensors
    )
