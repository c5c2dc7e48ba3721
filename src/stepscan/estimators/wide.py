"""Fits the wide part of a classifier, a linear model on fixed features, and chooses how much it counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from stepscan.errors import SettingsError
from stepscan.estimators import linear
from stepscan.estimators.ridge import ridge, temperature
from stepscan.runtime.batches import Array
from stepscan.runtime.probabilities import nats
from stepscan.runtime.series import are_numbers
from stepscan.runtime.wide.convolutions import ConvolutionFeatures
from stepscan.runtime.wide.model import WideModel
from stepscan.runtime.wide.ngrams import NGramFeatures

_C = 40.0  # of logistic regression: one over the penalty
_WEIGHTS = 2**23  # of all features and outputs together: 32 MB
_EXAMPLES = 100_000  # texts that it is fitted on, at most, and …
_CHARACTERS = 2**25  # … of all of them together, and …
_SCORES = 2.5e8  # … times the outputs
_SERIES, _STEPS = 8_000, 2**23  # the same of series, and of their numbers together
_SHARES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
_TIE = 0.005  # of the loss: what is worse by less is as good


def fit_wide(
    X: Sequence[Any],
    targets: Array,
    problem_type: str,
    outputs: int,
    *,
    class_weights: Array | None = None,
    seed: int = 0,
) -> WideModel:
    """The linear model on TF-IDF of texts, or on convolutions of series: on a random sample, if they are very many.

    Args:
        X: texts, or series `[T, D]`.
        targets: ids of classes `[N]`, or labels `[N, outputs]` (0 or 1), or numbers `[N]`.
        problem_type: `classification`, `multilabel` or `regression`.
        outputs: classes, labels, or 1.
        class_weights: `[outputs]`, how much an example of each class, or a label that is there, counts; None: 1.
        seed: of the sample.
    """
    numeric = are_numbers(X)
    chosen = _sample(X, numeric, outputs, seed)
    X, targets = [X[i] for i in chosen], np.asarray(targets)[chosen]
    weights = np.ones(outputs) if class_weights is None else np.asarray(class_weights, np.float64)
    return _FITS[numeric, problem_type](X, targets, outputs, weights)


def _sample(X: Sequence[Any], numeric: bool, outputs: int, seed: int) -> Array:
    """The places of what it is fitted on, ascending: as many as cost a minute."""
    sizes = np.array([one.size if numeric else len(one) for one in X], np.int64)
    order = np.random.default_rng(seed).permutation(len(X))
    most, together = (_SERIES, _STEPS) if numeric else (_EXAMPLES, min(_CHARACTERS, _SCORES / outputs))
    enough = int(np.searchsorted(np.cumsum(sizes[order]), together, "right"))
    return np.sort(order[: max(1, min(most, enough))])


# Texts ----------------------------------------------------------------------------------------------------------------


def _texts(X: Sequence[str], outputs: int) -> tuple[NGramFeatures, csr_matrix]:
    features = NGramFeatures.fit(X, max_features=_WEIGHTS // outputs)
    found = features.transform(X)
    return features, csr_matrix((found.values, found.columns, found.indptr), (len(X), features.size))


def _classes_of_texts(X: Sequence[str], ids: Array, outputs: int, weights: Array) -> WideModel:
    features, rows = _texts(X, outputs)
    if outputs != 2:
        return WideModel(features, *linear.fit(rows, linear.of_classes(ids, weights), outputs, 1 / _C))
    loss = linear.of_labels(ids[:, None], weights[ids][:, None])  # one score, which is the difference of both
    weight, bias = linear.fit(rows, loss, 1, 1 / _C)
    return WideModel(features, np.hstack([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2]))


def _labels_of_texts(X: Sequence[str], targets: Array, outputs: int, weights: Array) -> WideModel:
    features, rows = _texts(X, outputs)
    loss = linear.of_labels(targets, np.where(targets > 0, weights, 1))
    return WideModel(features, *linear.fit(rows, loss, outputs, 1 / _C))


def _number_of_texts(X: Sequence[str], targets: Array, outputs: int, weights: Array) -> WideModel:
    features, rows = _texts(X, outputs)
    numbers = targets.reshape(-1).astype(np.float64)
    mean, deviation = numbers.mean(), numbers.std() or 1.0
    standard = ((numbers - mean) / deviation).astype(np.float32)
    penalty = linear.best_penalty(rows, standard)
    weight, bias = linear.fit(rows, linear.of_numbers(standard[:, None]), 1, penalty)
    return WideModel(features, weight * np.float32(deviation), (bias * deviation + mean).astype(np.float32))


# Series ---------------------------------------------------------------------------------------------------------------


def _ridge(X: Sequence[Array], targets: Array) -> tuple[Any, Any]:
    features = ConvolutionFeatures.fit(X)
    return features, ridge(features.transform(X), targets, emphasis=features.emphasis)


def _classes_of_series(X: Sequence[Array], ids: Array, outputs: int, weights: Array) -> WideModel:
    features, found = _ridge(X, 2.0 * np.eye(outputs)[ids] - 1)
    scale = np.float32(1 / temperature(found.left_out, ids[found.rows]))
    return WideModel(features, found.weight * scale, found.bias * scale + np.log(weights).astype(np.float32))


def _labels_of_series(X: Sequence[Array], targets: Array, outputs: int, weights: Array) -> WideModel:
    features, found = _ridge(X, 2.0 * targets - 1)
    each = found.left_out.reshape(-1, 1) * (-1, 1)
    scale = np.float32(2 / temperature(each, targets[found.rows].reshape(-1).astype(np.int64)))
    return WideModel(features, found.weight * scale, found.bias * scale + np.log(weights).astype(np.float32))


def _number_of_series(X: Sequence[Array], targets: Array, outputs: int, weights: Array) -> WideModel:
    features, found = _ridge(X, targets.reshape(-1, 1).astype(np.float64))
    return WideModel(features, found.weight, found.bias)


_FITS: dict[tuple[bool, str], Callable[..., WideModel]] = {
    (False, "classification"): _classes_of_texts,
    (False, "multilabel"): _labels_of_texts,
    (False, "regression"): _number_of_texts,
    (True, "classification"): _classes_of_series,
    (True, "multilabel"): _labels_of_series,
    (True, "regression"): _number_of_series,
}


# Mixtures -------------------------------------------------------------------------------------------------------------


def mixture(deep: Array, wide: Array, targets: Array, problem_type: str) -> tuple[float, float]:
    """What the scores of the network and of the wide part are multiplied with before they are added.

    Chosen from a grid by the mean cross-entropy (of numbers the squared error, with shares that add up to 1). Where the
    wide part alone is not worse than the best by more than a standard error of the difference, (0, 1): it is the
    simpler model, and few examples cannot tell them apart (Breiman et al. 1984, §3.4.3). Else (1, 0) where the network
    alone is as good as any mixture.

    Args:
        deep, wide: scores `[N, outputs]` of examples that neither has seen.
        targets: as of `fit_wide`.
        problem_type: `classification`, `multilabel` or `regression`.
    """
    deep, wide, targets = deep.astype(np.float64), wide.astype(np.float64), np.asarray(targets)

    def losses(a: float, b: float) -> Array:
        return _LOSSES[problem_type](a * deep + b * wide, targets)

    add_up = problem_type == "regression"
    shares = best_shares(lambda a, b: float(losses(a, b).mean()), add_up=add_up)
    alone = min((losses(0, b) for b in ((1.0,) if add_up else _SHARES)), key=np.mean)
    differences = alone - losses(*shares)
    error = differences.std() / np.sqrt(max(1, len(differences)))
    return (0.0, 1.0) if differences.mean() <= error else shares


def best_shares(
    loss: Callable[[float, float], float],
    shares: Sequence[float] = _SHARES,
    *,
    add_up: bool = False,
    tie: float = _TIE,
) -> tuple[float, float]:
    """The shares of network and wide part with the least `loss`; see `mixture`.

    Args:
        loss: of both shares.
        shares: to choose from.
        add_up: whether they are to add up to 1, and `shares` do not count.
        tie: share of the loss by which the wide part alone may be worse than a mixture, and is taken.
    """

    def least(pairs: Iterable[tuple[float, float]]) -> tuple[float, tuple[float, float]]:
        return min((loss(a, b), (a, b)) for a, b in pairs)

    if add_up:
        alone, mixed = [1.0], [(1 - share, share) for share in (0.25, 0.5, 0.75)]
    else:  # scores have a scale of their own, which is no reason to add the other's
        alone, mixed = list(shares), [(a, b) for a in shares for b in shares]
    of_deep, of_wide = least((a, 0) for a in alone)[0], least((0, b) for b in alone)[0]
    of_both, both = least(mixed)
    fewest = min(of_deep, of_wide, of_both)
    if of_deep <= fewest * (1 + _TIE):
        return 1.0, 0.0
    return (0.0, 1.0) if of_wide <= fewest * (1 + tie) else both


_LOSSES: dict[str, Callable[[Array, Array], Array]] = {  # of each example
    "classification": nats,
    "multilabel": lambda scores, targets: np.logaddexp(0, scores * (1 - 2 * targets)).mean(axis=1),
    "regression": lambda scores, targets: np.square(scores[:, 0] - targets.reshape(-1)),
}


def mean(parts: Sequence[WideModel | None]) -> WideModel | None:
    """The wide part with the mean of the weights of several, None of none.

    Raises:
        SettingsError: they have different features, or some have no wide part.
    """
    own = [part for part in parts if part is not None]
    if not own:
        return None
    first = own[0]
    for number, part in enumerate(parts, start=1):
        if part is None or not _same_features(first, part):
            raise SettingsError(
                f"expected models whose wide parts have the same features, got others in model {number}; "
                "an ensemble can join them"
            )
    names = [one.name for one in dataclasses.fields(first) if isinstance(getattr(first, one.name), np.ndarray)]
    middle = {name: np.mean([getattr(one, name) for one in own], axis=0) for name in names}
    deep, wide = np.mean([one.shares for one in own], axis=0).tolist()
    return dataclasses.replace(first, **middle, shares=(deep, wide))


def _same_features(first: WideModel, second: WideModel) -> bool:
    left, right = first.features.tensors(), second.features.tensors()
    return first.features.description() == second.features.description() and all(
        np.array_equal(left[name], right[name]) for name in left
    )
