"""Classifier: an encoder over a text or a series of numbers, to a class, to labels, or to a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from stepscan.errors import SettingsError
from stepscan.options import ProblemOptions
from stepscan.runtime.batches import answering, by_length
from stepscan.runtime.examples import check_known, checked_texts, label_array, paired, warn_of_imbalance
from stepscan.runtime.model import RuntimeModel, Using
from stepscan.runtime.problem_types import PROBLEM_TYPES, ProblemType
from stepscan.runtime.series import checked_series
from stepscan.runtime.yardstick import Yardstick, constant, guess

_TOGETHER = 128  # texts that are decided in one batch


class Classifying(ProblemOptions, Using):
    """What a classifier does once it is trained.

    Wherever texts `X` are taken, so are series: arrays `[T]` or `[T, D]` of T time steps of D dimensions, or all in one
    array `[N, T]` or `[N, T, D]`.
    """

    task: ClassVar[str] = "classify"

    @property
    def classes_(self) -> np.ndarray:
        """The classes or labels, sorted: the columns of `predict_proba`."""
        if self.labels_ is None:
            raise AttributeError("a model that predicts numbers has no classes")
        return label_array(self.labels_)

    def predict(self, X: Sequence[Any]) -> Any:
        """The most probable class of each text `[N]`, or its number; of `labels`, a list for each."""
        self._check_usable()
        problem, labels = self._problem, self.labels_
        found = self._answered(X, lambda scores, _: problem.predictions(scores, labels))
        of_nothing = problem.predictions(np.zeros((0, self.network_.outputs), np.float32), labels)
        return np.array(found, of_nothing.dtype) if isinstance(of_nothing, np.ndarray) else found

    def predict_proba(self, X: Sequence[Any]) -> np.ndarray:
        """The probability of each class or label `[N, classes]`, in the order of `classes_`."""
        self._check_usable()
        score, problem = self._scorer(), self._problem
        return self._batched(X, lambda given, rows: problem.probabilities(score(given, rows)), self.network_.outputs)

    def answers(self, X: Sequence[Any]) -> list[dict[str, Any]]:
        """What `stepscan predict` says of each text: `label` and `probability`; `labels` with the probability of those
        above one half, and `probabilities` of all; or `number`."""
        self._check_usable()
        problem, labels = self._problem, self.labels_
        return self._answered(X, lambda scores, _: problem.records(scores, labels))

    def transform(self, X: Sequence[Any]) -> np.ndarray:
        """The network's feature vector of each text `[N, H]`: what its part of the decision is made from."""
        self._check_usable()
        network = self.network_
        return self._batched(X, lambda _, rows: network.features(rows), network.feature_size)

    def score(self, X: Sequence[Any], y: Sequence[Any], sample_weight: Sequence[float] | None = None) -> float:
        """Accuracy: the share of texts whose class is right (or all of whose labels are), 0 … 1; of numbers R²."""
        texts, true = self._judged(X, y)
        return self._problem.score(true, self.predict(texts), sample_weight)

    def metrics(self, X: Sequence[Any], y: Sequence[Any]) -> dict[str, Any]:
        """Accuracy and the mean of the classes' F1; of `labels` F1 over all, its mean over labels, and the share of
        texts with exactly the right ones; of numbers the root mean squared error, the mean absolute error and R²."""
        texts, true = self._judged(X, y)
        check_known(self._problem.flat_labels(true), self.labels_)
        if self.problem_type == "classification":
            warn_of_imbalance(true, "data")
        return {**self._problem.metrics(true, self.predict(texts)), "texts": len(true)}

    def yardstick(self, X: Sequence[Any], y: Sequence[Any]) -> Yardstick | None:
        """What the trivial model of the training data scores on these."""
        if self.yardstick_ is None:
            return None
        answer, true = self.yardstick_["answer"], self._judged(X, y)[1]
        if answer is None:  # the classes were balanced
            return guess(true) if self.problem_type == "classification" else None
        return constant(self.problem_type, answer, true)

    def log_probabilities(self, X: Sequence[Any], y: Sequence[Any]) -> list[tuple[float, int]]:
        """The natural logarithm of the probability of each right answer (minus infinity for a class unknown), and how
        many decisions it is made of: 1, or the number of labels."""
        self._check_usable()
        if self.problem_type == "regression":
            raise SettingsError("a regression model has no probabilities; use evaluate without --per-line")
        problem, labels = self._problem, self.labels_
        texts, true = self._judged(X, y)
        lost = self._answered(texts, lambda scores, chosen: problem.nats(scores, [true[i] for i in chosen], labels))
        return [(-float(nats), len(labels or ()) if self.problem_type == "multilabel" else 1) for nats in lost]

    def _judged(self, X: Sequence[Any], y: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The texts and their true answers, as many of the one as of the other."""
        pairs = paired(X, self._problem.validated(y), ("texts", "classes"))
        return [text for text, _ in pairs], [answer for _, answer in pairs]

    @property
    def _problem(self) -> ProblemType:
        return PROBLEM_TYPES[self.problem_type]

    def _scores(self, X: Sequence[Any], *, wide: bool = True) -> np.ndarray:
        """The scores that it decides by `[N, outputs]`; without the `wide` part those of the network alone."""
        self._check_usable()
        return self._batched(X, self._scorer(wide), self.network_.outputs)

    def _scorer(self, wide: bool = True) -> Callable[[list[Any], list[Any]], np.ndarray]:
        """What gives the scores `[B, outputs]` of texts or series, and what the network reads of them."""
        network, part = self.network_, self.wide_ if wide else None
        if part is None:
            return lambda _, rows: network.scores(rows)
        return lambda given, rows: part.combined_scores(network, rows, given)

    def _answered(
        self, X: Sequence[Any], answer: Callable[[np.ndarray, np.ndarray], Any], *, wide: bool = True
    ) -> list[Any]:
        """What `answer` makes of the scores of a batch `[B, outputs]` and the places of its texts, for all of `X` in
        order; the scores of all together might not fit."""
        given, score = self._given(X), self._scorer(wide)
        found: list[Any] = [None] * len(given)
        for chosen, some, rows in self._read_together(given):
            with answering([len(row) for row in rows], "text"):
                answers = answer(score(some, rows), chosen)
            for place, one in zip(chosen, answers, strict=True):
                found[place] = one
        return found

    def _batched(self, X: Sequence[Any], ask: Callable[[list[Any], list[Any]], np.ndarray], width: int) -> np.ndarray:
        """What `ask` says of the texts or series of a batch, and what the network reads of them, `[B, width]`, for all
        of `X` in order."""
        given = self._given(X)
        found = np.zeros((len(given), width), dtype=np.float32)
        for chosen, some, rows in self._read_together(given):
            with answering([len(row) for row in rows], "text"):
                found[chosen] = ask(some, rows)
        return found

    def _read_together(self, given: list[Any]) -> Iterator[tuple[np.ndarray, list[Any], list[Any]]]:
        """The places of texts or series that are read together, these, and what the network reads of them."""
        rows = self._rows_of(given)
        for chosen in by_length([len(row) for row in rows], _TOGETHER):
            yield chosen, [given[i] for i in chosen], [rows[i] for i in chosen]

    def network_inputs(self, X: Sequence[Any]) -> list[Any]:
        """What the network reads: of each text its ids `[T]`, of each series its values `[T, D]`."""
        return self._rows_of(self._given(X))

    def _given(self, X: Sequence[Any]) -> list[Any]:
        """The texts, or series `[T, D]`, checked."""
        return checked_texts(X) if self.tokenizers_ else checked_series(X, self.network_.embedding.size)

    def _rows_of(self, given: list[Any]) -> list[Any]:
        return self.tokenizers_["tokenizer"].encode_batch(given) if self.tokenizers_ else given


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(Classifying, RuntimeModel):
    """Decides which class a text, or a series of numbers, belongs to; or which labels it has, or predicts a number."""
