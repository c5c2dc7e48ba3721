"""What a classifier predicts for a text or a series: one class, several labels, or a number.

Macro F1, errors and R² come from scikit-learn, which is imported only when they are computed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from stepscan.backends.probabilities import sigmoid, softmax
from stepscan.data.example_checks import as_list, checked_labels, label_array
from stepscan.errors import SettingsError, shown

_LARGEST = float(np.finfo(np.float32).max)


class ProblemType(Protocol):
    """A problem type. `scores` are the model's outputs `[N, outputs]`, `labels` the label of each output."""

    greater_is_better: bool  # of the first of the `validation_scores`

    def validated(self, y: Iterable[Any]) -> list[Any]:
        """The targets as plain values.

        Raises:
            SettingsError: one is not a target of this problem type.
        """

    def labels(self, train: Sequence[Any], valid: Sequence[Any]) -> list[Any] | None:
        """The label of each output, from the training and validation targets; None for regression.

        Raises:
            SettingsError: there are too few, or validation targets that no training target has.
        """

    def targets(self, y: Sequence[Any], labels: Any) -> np.ndarray:
        """The targets as an encoder's loss needs them: `[N]` int64 indices, `[N, outputs]` or `[N]` float32."""

    def predictions(self, scores: np.ndarray, labels: Any) -> Any:
        """The predicted class, labels or number of each example."""

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """The probability of each label `[N, outputs]`.

        Raises:
            SettingsError: the problem is regression.
        """

    def validation_scores(self, predicted: Any, nats: np.ndarray, y: Sequence[Any]) -> dict[str, float]:
        """Scores of `predictions` and `nats` on the validation data; the first one selects the best checkpoint."""

    def metrics(self, true: Sequence[Any], predicted: Any) -> dict[str, Any]:
        """The usual metrics of the problem type."""

    def score(self, true: Sequence[Any], predicted: Any, weights: Sequence[float] | None) -> float:
        """scikit-learn's score: accuracy, exact-match accuracy or R²."""

    def nats(self, scores: np.ndarray, y: Sequence[Any], labels: Any) -> np.ndarray:
        """Negative log-likelihood of each target `[N]`, in nats: infinite for an unknown label, NaN for regression."""

    def records(self, scores: np.ndarray, labels: Any) -> list[dict[str, Any]]:
        """What `stepscan predict` prints for each example."""

    def flat_labels(self, y: Sequence[Any]) -> list[Any]:
        """Every label of every target."""


class Classification(ProblemType):
    """One of several classes: cross-entropy, accuracy."""

    greater_is_better = True

    def validated(self, y: Iterable[Any]) -> list[Any]:
        return checked_labels(as_list(y), "label")

    def labels(self, train: Sequence[Any], valid: Sequence[Any]) -> list[Any]:
        classes = sorted(set(train))
        if len(classes) < 2:
            raise SettingsError(f"expected at least two classes, got only {classes[0]!r}")
        _check_seen(set(valid) - set(classes), "classes")
        return classes

    def targets(self, y: Sequence[Any], labels: Any) -> np.ndarray:
        index = _indices(labels)
        return np.array([index[label] for label in y], dtype=np.int64)

    def predictions(self, scores: np.ndarray, labels: Any) -> np.ndarray:
        return label_array(labels)[scores.argmax(axis=1)]

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        return softmax(scores)

    def validation_scores(self, predicted: Any, nats: np.ndarray, y: Sequence[Any]) -> dict[str, float]:
        nats = np.minimum(nats, -math.log(1e-12))
        return {
            "accuracy": self.score(y, predicted, None),
            "macro_f1": _macro_f1(y, predicted),
            "nats": float(nats.mean()),
        }

    def metrics(self, true: Sequence[Any], predicted: Any) -> dict[str, Any]:
        return {"accuracy": self.score(true, predicted, None), "macro_f1": _macro_f1(true, predicted)}

    def score(self, true: Sequence[Any], predicted: Any, weights: Sequence[float] | None) -> float:
        return float(np.average([a == b for a, b in zip(true, predicted, strict=True)], weights=weights))

    def nats(self, scores: np.ndarray, y: Sequence[Any], labels: Any) -> np.ndarray:
        index = _indices(labels)
        targets = np.array([index.get(label, -1) for label in y], dtype=np.int64)
        likelihood = self.probabilities(scores)[np.arange(len(targets)), targets].astype(np.float64)
        with np.errstate(divide="ignore"):
            return -np.log(np.where(targets >= 0, likelihood, 0))

    def records(self, scores: np.ndarray, labels: Any) -> list[dict[str, Any]]:
        probabilities = self.probabilities(scores)
        return [
            {"label": str(labels[i]), "probability": float(row[i])} for row in probabilities for i in [row.argmax()]
        ]

    def flat_labels(self, y: Sequence[Any]) -> list[Any]:
        return list(y)


class Multilabel(ProblemType):
    """Any number of labels, each on or off: binary cross-entropy, F1. On is a probability above one half."""

    greater_is_better = False

    def validated(self, y: Iterable[Any]) -> list[Any]:
        rows = []
        for number, labels in enumerate(as_list(y), start=1):
            if not isinstance(labels, list | tuple | set | frozenset):
                raise SettingsError(
                    f"target {number}: expected a list of labels (problem_type 'multilabel'), got {labels!r}; "
                    "scikit-learn's MultiLabelBinarizer.inverse_transform makes such lists of a matrix of 0 and 1"
                )
            rows.append(list(labels))
        checked_labels([label for labels in rows for label in labels], "label")
        return [sorted(set(checked_labels(labels, "label"))) for labels in rows]

    def labels(self, train: Sequence[Any], valid: Sequence[Any]) -> list[Any]:
        known = sorted(set(self.flat_labels(train)))
        if not known:
            raise SettingsError("expected labels, got training texts without any")
        _check_seen(set(self.flat_labels(valid)) - set(known), "labels")
        return known

    def targets(self, y: Sequence[Any], labels: Any) -> np.ndarray:
        index, targets = _indices(labels), np.zeros((len(y), len(labels)), dtype=np.float32)
        for row, true in zip(targets, y, strict=True):
            row[[index[label] for label in true if label in index]] = 1
        return targets

    def predictions(self, scores: np.ndarray, labels: Any) -> list[list[Any]]:
        return [[labels[i] for i in np.flatnonzero(row > 0).tolist()] for row in scores]

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        return sigmoid(scores)

    def validation_scores(self, predicted: Any, nats: np.ndarray, y: Sequence[Any]) -> dict[str, float]:
        figures = self.metrics(y, predicted)
        return {"nats": float(np.mean(nats)), "micro_f1": figures["micro_f1"], "exact": figures["exact"]}

    def metrics(self, true: Sequence[Any], predicted: Any) -> dict[str, Any]:
        both = [list(set(left).intersection(right)) for left, right in zip(true, predicted, strict=True)]
        correct, *counts = (Counter(self.flat_labels(rows)) for rows in (both, true, predicted))
        every = counts[0] + counts[1]
        micro = 2 * correct.total() / every.total() if every else 1.0
        macro = sum(2 * correct[label] / count for label, count in every.items()) / len(every) if every else 1.0
        return {"micro_f1": micro, "macro_f1": macro, "exact": self.score(true, predicted, None)}

    def score(self, true: Sequence[Any], predicted: Any, weights: Sequence[float] | None) -> float:
        """The share of texts whose labels are exactly right."""
        return float(np.average([a == b for a, b in zip(true, predicted, strict=True)], weights=weights))

    def nats(self, scores: np.ndarray, y: Sequence[Any], labels: Any) -> np.ndarray:
        known = set(labels)
        nats = np.logaddexp(0, scores.astype(np.float64) * (1 - 2 * self.targets(y, labels))).sum(axis=1)
        return np.where([known.issuperset(true) for true in y], nats, np.inf)

    def records(self, scores: np.ndarray, labels: Any) -> list[dict[str, Any]]:
        return [
            {
                "labels": {str(labels[i]): float(row[i]) for i in np.argsort(-row, kind="stable") if row[i] > 0.5},
                "probabilities": {str(label): float(p) for label, p in zip(labels, row, strict=True)},
            }
            for row in self.probabilities(scores)
        ]

    def flat_labels(self, y: Sequence[Any]) -> list[Any]:
        return [label for labels in y for label in labels]


class Regression(ProblemType):
    """A number: squared error, root mean squared error, R²."""

    greater_is_better = False

    def validated(self, y: Iterable[Any]) -> list[Any]:
        values = [value.item() if isinstance(value, np.generic) else value for value in as_list(y)]
        for number, value in enumerate(values, start=1):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and abs(value) <= _LARGEST):
                hint = f"; float32 holds at most {_LARGEST:.2g}" if is_number and abs(value) > _LARGEST else ""
                raise SettingsError(
                    f"target {number}: expected a finite number (problem_type 'regression'), got {shown(value)}{hint}"
                )
        return [float(value) for value in values]

    def labels(self, train: Sequence[Any], valid: Sequence[Any]) -> None:
        return None

    def targets(self, y: Sequence[Any], labels: Any) -> np.ndarray:
        return np.array(y, dtype=np.float32)

    def predictions(self, scores: np.ndarray, labels: Any) -> np.ndarray:
        return scores[:, 0]

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        raise SettingsError("a regression model has no probabilities; use predict")

    def validation_scores(self, predicted: Any, nats: np.ndarray, y: Sequence[Any]) -> dict[str, float]:
        return {name: value for name, value in self.metrics(y, predicted).items() if name != "r2"}

    def metrics(self, true: Sequence[Any], predicted: Any) -> dict[str, Any]:
        from sklearn.metrics import mean_absolute_error, root_mean_squared_error

        rmse, mae = root_mean_squared_error(true, predicted), mean_absolute_error(true, predicted)
        return {
            "rmse": float(rmse),
            "mae": float(mae),
            "r2": self.score(true, predicted, None) if len(true) > 1 else None,
        }

    def score(self, true: Sequence[Any], predicted: Any, weights: Sequence[float] | None) -> float:
        """R², the share of the variance that is explained."""
        from sklearn.metrics import r2_score

        return float(r2_score(true, predicted, sample_weight=weights))

    def nats(self, scores: np.ndarray, y: Sequence[Any], labels: Any) -> np.ndarray:
        return np.full(len(y), np.nan)

    def records(self, scores: np.ndarray, labels: Any) -> list[dict[str, Any]]:
        return [{"number": float(value)} for value in scores[:, 0]]

    def flat_labels(self, y: Sequence[Any]) -> list[Any]:
        return []


PROBLEM_TYPES: dict[str, ProblemType] = {
    "classification": Classification(),
    "multilabel": Multilabel(),
    "regression": Regression(),
}


def _macro_f1(true: Any, predicted: Any) -> float:
    from sklearn.metrics import f1_score

    index = _indices(sorted({*true, *predicted}))
    codes = ([index[label] for label in labels] for labels in (true, predicted))  # NumPy would truncate strings
    return float(f1_score(*codes, average="macro", zero_division=0))


def _indices(labels: Sequence[Any]) -> dict[Any, int]:
    """The output of each label."""
    return {label: index for index, label in enumerate(labels)}


def _check_seen(unseen: set[Any], what: str) -> None:
    if unseen:
        raise SettingsError(
            f"validation data: expected {what} of the training data, got others: "
            f"{', '.join(map(repr, sorted(unseen)[:5]))}; shuffle the data, or use other validation data"
        )
