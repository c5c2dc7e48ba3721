"""Classifier: an encoder of a text or a numeric series, with a class, labels or a number as its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stepscan.backends.batches import by_length, enough_memory_for
from stepscan.data.example_checks import check_known, checked_texts, label_array, make_pairs, warn_of_imbalance
from stepscan.data.series.checks import check_range, checked_series
from stepscan.errors import SettingsError
from stepscan.evaluation.problem_types import PROBLEM_TYPES, ProblemType
from stepscan.evaluation.yardstick import Yardstick, constant, guess
from stepscan.models.model import FittedModel, RuntimeModel
from stepscan.options import ProblemOptions

_BATCH_SIZE = 128  # examples per batch, at most


class ClassificationMixin(ProblemOptions, FittedModel):
    """Methods of a fitted classifier.

    `X` is a list of N texts, or of N series: arrays `[T]` or `[T, D]` of T time steps of D dimensions, or one array
    `[N, T]` or `[N, T, D]`.
    """

    task: ClassVar[str] = "classify"

    @property
    def classes_(self) -> np.ndarray:
        """The sorted classes or labels `[K]`: the columns of `predict_proba`.

        Raises:
            AttributeError: the problem is regression.
        """
        if self.labels_ is None:
            raise AttributeError("a regression model has no classes")
        return label_array(self.labels_)

    def predict(self, X: Sequence[Any]) -> Any:
        """The most probable class of each example `[N]`; a list of labels for each (multilabel), or a number `[N]`."""
        self._check_usable()
        problem, labels = self.problem, self.labels_
        predictions = self._map_scores(X, lambda scores, _: problem.predictions(scores, labels))
        empty = problem.predictions(np.zeros((0, self.network_.outputs), np.float32), labels)
        return np.array(predictions, empty.dtype) if isinstance(empty, np.ndarray) else predictions

    def predict_proba(self, X: Sequence[Any]) -> np.ndarray:
        """The probability of each class or label `[N, K]`, in the order of `classes_`.

        Raises:
            SettingsError: the problem is regression.
        """
        self._check_usable()
        score, problem = self._score_function(), self.problem
        outputs = self.network_.outputs
        return self._map_batches(X, lambda examples, rows: problem.probabilities(score(examples, rows)), outputs)

    def predict_records(self, X: Sequence[Any]) -> list[dict[str, Any]]:
        """The output of `stepscan predict` for each example: `label` and `probability`; or `labels` with the
        probabilities above one half, and `probabilities` of all; or `number`."""
        self._check_usable()
        problem, labels = self.problem, self.labels_
        return self._map_scores(X, lambda scores, _: problem.records(scores, labels))

    def transform(self, X: Sequence[Any]) -> np.ndarray:
        """The network's feature vector of each example `[N, H]`: the input of its output layer."""
        self._check_usable()
        network = self.network_
        return self._map_batches(X, lambda _, rows: network.features(rows), network.feature_size)

    def score(self, X: Sequence[Any], y: Sequence[Any], sample_weight: Sequence[float] | None = None) -> float:
        """Accuracy, 0 … 1 (multilabel: the share of examples with exactly the right labels); R² for regression."""
        texts, true = self._check_pairs(X, y)
        return self.problem.score(true, self.predict(texts), sample_weight)

    def metrics(self, X: Sequence[Any], y: Sequence[Any]) -> dict[str, Any]:
        """Accuracy and macro F1; micro F1, macro F1 and exact-match accuracy (multilabel); or root mean squared error,
        mean absolute error and R² (regression); and how many `texts` or `series` there were."""
        texts, true = self._check_pairs(X, y)
        check_known(self.problem.flat_labels(true), self.labels_)
        if self.problem_type == "classification":
            warn_of_imbalance(true, "data")
        kind = "texts" if self.tokenizers_ else "series"
        return {**self.problem.metrics(true, self.predict(texts)), kind: len(true)}

    def yardstick(self, X: Sequence[Any], y: Sequence[Any]) -> Yardstick | None:
        """The score of the trivial model of the training data on these examples."""
        if self.yardstick_ is None:
            return None
        answer, true = self.yardstick_["answer"], self._check_pairs(X, y)[1]
        if answer is None:  # the classes were balanced
            return guess(true) if self.problem_type == "classification" else None
        return constant(self.problem_type, answer, true)

    def log_probabilities(self, X: Sequence[Any], y: Sequence[Any]) -> list[tuple[float, int]]:
        """The natural logarithm of the probability of each target (minus infinity for an unknown class), and the number
        of its factors: 1, or the number of labels.

        Raises:
            SettingsError: the problem is regression.
        """
        self._check_usable()
        if self.problem_type == "regression":
            raise SettingsError("a regression model has no probabilities; use evaluate without --per-line")
        problem, labels = self.problem, self.labels_
        texts, true = self._check_pairs(X, y)
        losses = self._map_scores(texts, lambda scores, chosen: problem.nats(scores, [true[i] for i in chosen], labels))
        return [(-float(nats), len(labels or ()) if self.problem_type == "multilabel" else 1) for nats in losses]

    def _check_pairs(self, X: Sequence[Any], y: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The examples and their targets, checked to be equally many."""
        pairs = make_pairs(X, self.problem.validated(y), ("examples", "targets"))
        return [example for example, _ in pairs], [target for _, target in pairs]

    @property
    def problem(self) -> ProblemType:
        """What `problem_type` means: targets, predictions, metrics."""
        return PROBLEM_TYPES[self.problem_type]

    def _scores(self, X: Sequence[Any], *, wide: bool = True) -> np.ndarray:
        """The unnormalised scores `[N, outputs]`; without the `wide` part those of the network alone."""
        self._check_usable()
        return self._map_batches(X, self._score_function(wide), self.network_.outputs)

    def _score_function(self, wide: bool = True) -> Callable[[list[Any], list[Any]], np.ndarray]:
        """A function from a batch of examples and their network inputs to scores `[B, outputs]`."""
        network, wide_part = self.network_, self.wide_ if wide else None
        if wide_part is None:
            return lambda _, rows: network.scores(rows)
        return lambda examples, rows: wide_part.combined_scores(network, rows, examples)

    def _map_scores(
        self, X: Sequence[Any], convert: Callable[[np.ndarray, np.ndarray], Any], *, wide: bool = True
    ) -> list[Any]:
        """`convert` of the scores `[B, outputs]` and indices `[B]` of each batch, concatenated in the order of `X`: the
        scores of all of `X` might not fit into memory."""
        examples, score = self._checked_examples(X), self._score_function(wide)
        records: list[Any] = [None] * len(examples)
        for indices, batch, rows in self._read_batches(examples):
            with enough_memory_for([len(row) for row in rows], "text"):
                values = convert(score(batch, rows), indices)
            for index, value in zip(indices, values, strict=True):
                records[index] = value
        return records

    def _map_batches(
        self, X: Sequence[Any], compute: Callable[[list[Any], list[Any]], np.ndarray], width: int
    ) -> np.ndarray:
        """`compute` of the examples and network inputs of each batch, `[B, width]`, concatenated in the order of
        `X`."""
        examples = self._checked_examples(X)
        outputs = np.zeros((len(examples), width), dtype=np.float32)
        for indices, batch, rows in self._read_batches(examples):
            with enough_memory_for([len(row) for row in rows], "text"):
                outputs[indices] = compute(batch, rows)
        return outputs

    def _read_batches(self, examples: list[Any]) -> Iterator[tuple[np.ndarray, list[Any], list[Any]]]:
        """The indices of the examples of each batch, the examples, and their network inputs."""
        rows = self._to_network_rows(examples)
        if not self.tokenizers_:
            check_range(rows, self.network_)
        for indices in by_length([len(row) for row in rows], _BATCH_SIZE):
            yield indices, [examples[i] for i in indices], [rows[i] for i in indices]

    def network_inputs(self, X: Sequence[Any]) -> list[Any]:
        """The network's inputs: for each text its ids `[T]`, for each series its values `[T, D]`."""
        return self._to_network_rows(self._checked_examples(X))

    def _checked_examples(self, X: Sequence[Any]) -> list[Any]:
        """The checked texts, or series `[T, D]`."""
        return checked_texts(X) if self.tokenizers_ else checked_series(X, self.network_.embedding.size)

    def _to_network_rows(self, examples: list[Any]) -> list[Any]:
        return self.tokenizers_["tokenizer"].encode_batch(examples) if self.tokenizers_ else examples


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(ClassificationMixin, RuntimeModel):
    """Predicts the class, the labels or a number for a text or a numeric series."""
