"""What a classifier decides of a text or a series: one class, several labels, or a number.

F1 of classes, errors and R² are scikit-learn's, which is imported where it is asked for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from stepscan.errors import SettingsError
from stepscan.runtime.examples import label_array, listed, of_one_kind
from stepscan.runtime.outline import shown
from stepscan.runtime.probabilities import sigmoid, softmax

_LARGEST = float(np.finfo(np.float32).max)


class Decision(Protocol):
    """One kind of decision. `scores` are the model's `[N, outputs]`, `labels` what its outputs stand for."""

    greater_is_better: bool  # of the first of what `judged` finds

    def checked(self, y: Iterable[Any]) -> list[Any]:
        """The true answers as plain values, or a `SettingsError` that names the one that is none."""

    def labels(self, train: Sequence[Any], valid: Sequence[Any]) -> list[Any] | None:
        """What the outputs stand for, out of training and validation answers; None for a number."""

    def targets(self, y: Sequence[Any], labels: Any) -> np.ndarray:
        """The true answers as an encoder's loss takes them."""

    def decided(self, scores: np.ndarray, labels: Any) -> Any:
        """The answers."""

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """The probability of each label `[N, outputs]`."""

    def judged(self, found: Any, nats: np.ndarray, y: Sequence[Any]) -> dict[str, float]:
        """Scores on the validation data, of what was `decided` and the `nats` of the right answers; the first one
        decides."""

    def metrics(self, true: Sequence[Any], found: Any) -> dict[str, Any]:
        """The field's own metrics."""

    def score(self, true: Sequence[Any], found: Any, weights: Sequence[float] | None) -> float:
        """As scikit-learn scores such answers."""

    def nats(self, scores: np.ndarray, y: Sequence[Any], labels: Any) -> np.ndarray:
        """Minus the natural logarithm of the probability `[N]` of the right answers; infinite for one unknown, NaN for
        a number, which has none."""

    def rows(self, scores: np.ndarray, labels: Any) -> list[dict[str, Any]]:
        """What `stepscan predict` says of each."""

    def named(self, y: Sequence[Any]) -> list[Any]:
        """All labels in the true answers."""


class OneClass:
    """One of several classes: cross-entropy, accuracy."""

    greater_is_better = True

    def checked(self, y: Iterable[Any]) -> list[Any]:
        return of_one_kind(listed(y), "label")

    def labels(self, train: Sequence[Any], valid: Sequence[Any]) -> list[Any]:
        classes = sorted(set(train))
        if len(classes) < 2:
            raise SettingsError(f"a classifier needs at least two classes, but every label is {classes[0]!r}")
        _check_seen(set(valid) - set(classes), "classes")
        return classes

    def targets(self, y: Sequence[Any], labels: Any) -> np.ndarray:
        place = _places(labels)
        return np.array([place[label] for label in y], dtype=np.int64)

    def decided(self, scores: np.ndarray, labels: Any) -> np.ndarray:
        return label_array(labels)[scores.argmax(axis=1)]

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        return softmax(scores)

    def judged(self, found: Any, nats: np.ndarray, y: Sequence[Any]) -> dict[str, float]:
        nats = np.minimum(nats, -math.log(1e-12))
        return {"accuracy": self.score(y, found, None), "macro_f1": _macro_f1(y, found), "nats": float(nats.mean())}

    def metrics(self, true: Sequence[Any], found: Any) -> dict[str, Any]:
        return {"accuracy": self.score(true, found, None), "macro_f1": _macro_f1(true, found)}

    def score(self, true: Sequence[Any], found: Any, weights: Sequence[float] | None) -> float:
        return float(np.average([a == b for a, b in zip(true, found, strict=True)], weights=weights))

    def nats(self, scores: np.ndarray, y: Sequence[Any], labels: Any) -> np.ndarray:
        place = _places(labels)
        places = np.array([place.get(label, -1) for label in y], dtype=np.int64)
        of_truth = self.probabilities(scores)[np.arange(len(places)), places].astype(np.float64)
        with np.errstate(divide="ignore"):
            return -np.log(np.where(places >= 0, of_truth, 0))

    def rows(self, scores: np.ndarray, labels: Any) -> list[dict[str, Any]]:
        probabilities = self.probabilities(scores)
        return [
            {"label": str(labels[i]), "probability": float(row[i])} for row in probabilities for i in [row.argmax()]
        ]

    def named(self, y: Sequence[Any]) -> list[Any]:
        return list(y)


class SeveralLabels:
    """Any number of labels, each on or off: binary cross-entropy, F1. On is a probability above one half."""

    greater_is_better = False

    def checked(self, y: Iterable[Any]) -> list[Any]:
        found = []
        for number, labels in enumerate(listed(y), start=1):
            if not isinstance(labels, list | tuple | set | frozenset):
                raise SettingsError(
                    f"answer {number} is {labels!r}, but with decision 'labels' each is a list of labels; out of a "
                    "matrix of 0 and 1, scikit-learn's MultiLabelBinarizer.inverse_transform makes such lists"
                )
            found.append(list(labels))
        of_one_kind([label for labels in found for label in labels], "label")
        return [sorted(set(of_one_kind(labels, "label"))) for labels in found]

    def labels(self, train: Sequence[Any], valid: Sequence[Any]) -> list[Any]:
        found = sorted(set(self.named(train)))
        if not found:
            raise SettingsError("there is nothing to learn: no training text has a label")
        _check_seen(set(self.named(valid)) - set(found), "labels")
        return found

    def targets(self, y: Sequence[Any], labels: Any) -> np.ndarray:
        place, found = _places(labels), np.zeros((len(y), len(labels)), dtype=np.float32)
        for row, own in zip(found, y, strict=True):
            row[[place[label] for label in own if label in place]] = 1
        return found

    def decided(self, scores: np.ndarray, labels: Any) -> list[list[Any]]:
        return [[labels[place] for place in np.flatnonzero(row > 0).tolist()] for row in scores]

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        return sigmoid(scores)

    def judged(self, found: Any, nats: np.ndarray, y: Sequence[Any]) -> dict[str, float]:
        figures = self.metrics(y, found)
        return {"nats": float(np.mean(nats)), "micro_f1": figures["micro_f1"], "exact": figures["exact"]}

    def metrics(self, true: Sequence[Any], found: Any) -> dict[str, Any]:
        both = [list(set(left).intersection(right)) for left, right in zip(true, found, strict=True)]
        right, of_truth, said = (Counter(self.named(answers)) for answers in (both, true, found))
        every = of_truth + said
        micro = 2 * right.total() / every.total() if every else 1.0
        macro = sum(2 * right[label] / count for label, count in every.items()) / len(every) if every else 1.0
        return {"micro_f1": micro, "macro_f1": macro, "exact": self.score(true, found, None)}

    def score(self, true: Sequence[Any], found: Any, weights: Sequence[float] | None) -> float:
        """The share of texts whose labels are exactly right."""
        return float(np.average([a == b for a, b in zip(true, found, strict=True)], weights=weights))

    def nats(self, scores: np.ndarray, y: Sequence[Any], labels: Any) -> np.ndarray:
        known = set(labels)
        lost = np.logaddexp(0, scores.astype(np.float64) * (1 - 2 * self.targets(y, labels))).sum(axis=1)
        return np.where([known.issuperset(own) for own in y], lost, np.inf)

    def rows(self, scores: np.ndarray, labels: Any) -> list[dict[str, Any]]:
        return [
            {
                "labels": {str(labels[i]): float(row[i]) for i in np.argsort(-row, kind="stable") if row[i] > 0.5},
                "probabilities": {str(label): float(p) for label, p in zip(labels, row, strict=True)},
            }
            for row in self.probabilities(scores)
        ]

    def named(self, y: Sequence[Any]) -> list[Any]:
        return [label for labels in y for label in labels]


class Number:
    """A number: squared error, root mean squared error, R²."""

    greater_is_better = False

    def checked(self, y: Iterable[Any]) -> list[Any]:
        found = [value.item() if isinstance(value, np.generic) else value for value in listed(y)]
        for number, value in enumerate(found, start=1):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and abs(value) <= _LARGEST):
                hint = f", and float32 holds at most {_LARGEST:.2g}" if is_number and abs(value) > _LARGEST else ""
                raise SettingsError(
                    f"with decision 'number' each answer is a finite number, but {number} is {shown(value)}{hint}"
                )
        return [float(value) for value in found]

    def labels(self, train: Sequence[Any], valid: Sequence[Any]) -> None:
        return None

    def targets(self, y: Sequence[Any], labels: Any) -> np.ndarray:
        return np.array(y, dtype=np.float32)

    def decided(self, scores: np.ndarray, labels: Any) -> np.ndarray:
        return scores[:, 0]

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        raise SettingsError("this model predicts numbers, and they have no probabilities; use predict")

    def judged(self, found: Any, nats: np.ndarray, y: Sequence[Any]) -> dict[str, float]:
        return {name: value for name, value in self.metrics(y, found).items() if name != "r2"}

    def metrics(self, true: Sequence[Any], found: Any) -> dict[str, Any]:
        from sklearn.metrics import mean_absolute_error, root_mean_squared_error

        rmse, mae = root_mean_squared_error(true, found), mean_absolute_error(true, found)
        return {"rmse": float(rmse), "mae": float(mae), "r2": self.score(true, found, None) if len(true) > 1 else None}

    def score(self, true: Sequence[Any], found: Any, weights: Sequence[float] | None) -> float:
        """R², the share of the variance that is explained."""
        from sklearn.metrics import r2_score

        return float(r2_score(true, found, sample_weight=weights))

    def nats(self, scores: np.ndarray, y: Sequence[Any], labels: Any) -> np.ndarray:
        return np.full(len(y), np.nan)

    def rows(self, scores: np.ndarray, labels: Any) -> list[dict[str, Any]]:
        return [{"number": float(value)} for value in scores[:, 0]]

    def named(self, y: Sequence[Any]) -> list[Any]:
        return []


DECISIONS: dict[str, Decision] = {"class": OneClass(), "labels": SeveralLabels(), "number": Number()}


def _macro_f1(true: Any, found: Any) -> float:
    from sklearn.metrics import f1_score

    place = {label: index for index, label in enumerate(sorted({*true, *found}))}
    codes = ([place[label] for label in labels] for labels in (true, found))  # as strings they would be cut
    return float(f1_score(*codes, average="macro", zero_division=0))


def _places(labels: Sequence[Any]) -> dict[Any, int]:
    """Which output stands for each label."""
    return {label: place for place, label in enumerate(labels)}


def _check_seen(unseen: set[Any], what: str) -> None:
    if unseen:
        raise SettingsError(
            f"the validation data has {what} that the training data lacks: "
            f"{', '.join(map(repr, sorted(unseen)[:5]))}; shuffle the data, or give validation data of its own"
        )
