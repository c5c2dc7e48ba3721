"""Classifier: an encoder over a text or a series of numbers, to one of several classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score, f1_score

from stepscan.data.batching import Batch, by_length, pad, pad_numbers
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator, bucketed_batches, checked_texts, hold_out, listed, paired
from stepscan.estimators.series import are_numbers, checked_series
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.numbers import Numbers
from stepscan.sequences import Sequences
from stepscan.training.loop import Task
from stepscan.training.settings import TrainingSettings


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(ClassifierMixin, Estimator):
    """Decides which class a text, or a series of numbers, belongs to.

    Wherever texts `X` are taken, so are series: arrays `[T]` or `[T, D]` of T time steps of D dimensions, or all in one
    array `[N, T]` or `[N, T, D]`. They are standardised by the training data's mean and deviation.
    `unknown_probability`, `tokenizer`, `vocabulary_size` and `lowercase` are for texts alone.

    Args:
        cell: recurrent cell, such as `lstm`, `gru`, `elman`.
        layers: cells one above the other.
        hidden_size: of each cell and direction.
        bidirectional: whether the text is read from both ends.
        pooling: `last`, `mean`, `max` or `attention`: how the outputs become one feature vector.
        embedding_size: numbers a word; for series, what a step is projected to.
        input_noise: standard deviation of noise on standardised numbers in training; for series alone.
        dropout: probability, on embeddings, between layers and on the feature vector.
        unknown_probability: probability that a word is hidden in training, so that unknown words are learned.
        tokenizer: `word`, `whitespace`, `character`, `byte` or `bpe`.
        vocabulary_size: symbols at most.
        lowercase: whether case is dropped.
        epochs … device: see `Estimator`.
    """

    task: ClassVar[str] = "classify"
    pattern: ClassVar[type] = Encoder

    cell: str = "lstm"
    layers: int = 1
    hidden_size: int = 128
    bidirectional: bool = True
    pooling: str = "max"
    embedding_size: int = 128
    input_noise: float = 0.0
    dropout: float = 0.5
    unknown_probability: float = 0.02
    tokenizer: str = "word"
    vocabulary_size: int = 30000
    lowercase: bool = True
    epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 2e-3

    @property
    def classes_(self) -> np.ndarray:
        """The classes, sorted: the columns of `predict_proba`."""
        return np.array(self.labels_)

    def fit(
        self, X: Sequence[Any], y: Sequence[Any], validation: tuple[Sequence[Any], Sequence[Any]] | None = None
    ) -> Self:
        """Learn from texts `X` and their classes `y`, strings or whole numbers.

        Judged on `validation`, or on the last tenth held out.

        Raises:
            SettingsError: a setting is wrong, there is one class only, or validation data has a class of its own.
        """
        with self._fitting() as settings:
            examples = paired(self._checked(X), _labels(y), ("texts", "classes"))
            valid = None
            if validation is not None:
                checked = self._checked(validation[0], like=examples[0][0])
                valid = paired(checked, _labels(validation[1]), ("validation texts", "classes"))
            train, held_out = hold_out(examples, valid, self.verbose)
            self.labels_ = _classes(train, held_out)
            self.model_ = self._model(self._embedding([text for text, _ in train])).to(settings.device)
            batches, count = self._batches(train, settings)
            self._train(settings, Task(self.model_, batches, count, lambda: self._evaluate(held_out), True))
        return self

    def predict(self, X: Sequence[Any]) -> np.ndarray:
        """The most probable class of each text `[N]`."""
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]

    def predict_proba(self, X: Sequence[Any]) -> np.ndarray:
        """The probability of each class `[N, classes]`, in the order of `classes_`."""
        return torch.from_numpy(self._scores(X)).softmax(dim=1).numpy()

    def transform(self, X: Sequence[Any]) -> np.ndarray:
        """The feature vector of each text `[N, H]`: what the decision is made from."""
        self._check_fitted()
        return self._batched(X, self.model_.encode, self.model_.layer.output_size)

    def score(self, X: Sequence[Any], y: Sequence[Any], sample_weight: Sequence[float] | None = None) -> float:
        """Accuracy: the share of texts whose class is right, 0 … 1."""
        true = [label for _, label in paired(X, _labels(y), ("texts", "classes"))]
        return float(accuracy_score(true, self.predict(X), sample_weight=sample_weight))

    def metrics(self, X: Sequence[Any], y: Sequence[Any]) -> dict[str, Any]:
        """Accuracy and the mean of the classes' F1."""
        true = [label for _, label in paired(X, _labels(y), ("texts", "classes"))]
        self._check_known(true)
        found = self.predict(X)
        f1 = f1_score(true, found, average="macro", zero_division=0)
        return {"accuracy": float(accuracy_score(true, found)), "macro_f1": float(f1), "texts": len(true)}

    def log_probabilities(self, X: Sequence[Any], y: Sequence[Any]) -> list[tuple[float, int]]:
        """The natural logarithm of the probability of each true class (minus infinity for one unknown), and 1."""
        place = {label: index for index, label in enumerate(self.classes_.tolist())}
        pairs = zip(self.predict_proba(X), _labels(y), strict=True)
        return [(float(np.log(row[place[label]])) if label in place else -math.inf, 1) for row, label in pairs]

    def _embedding(self, X: Sequence[Any]) -> Embedding | Numbers:
        """The input map for texts or series; what is learned for it (a vocabulary, mean and deviation) is learned."""
        if are_numbers(X):
            self.tokenizers_ = {}
            if self.embedding_dropout:
                raise SettingsError(f"embedding_dropout={self.embedding_dropout} is for texts, but X holds numbers")
            return Numbers(X[0].shape[1], self.embedding_size, self._input_dropout, self.input_noise).standardise(X)
        if self.input_noise:
            raise SettingsError(f"input_noise={self.input_noise} is for series of numbers, but X holds texts")
        tokenizer = TextTokenizer.train(
            self.tokenizer, X, vocabulary_size=self.vocabulary_size, lowercase=self.lowercase
        )
        self.tokenizers_ = {"tokenizer": tokenizer}
        return Embedding(
            len(tokenizer),
            self.embedding_size,
            self._input_dropout,
            self.unknown_probability,
            tokenizer.unknown,
            self.embedding_dropout,
        )

    def _checked(self, X: Sequence[Any], like: Any = None) -> list[Any]:
        """Texts or series, whichever came, or those that go with `like`, checked."""
        numeric = are_numbers(X) if like is None else not isinstance(like, str)
        if not numeric:
            return checked_texts(X)
        return checked_series(X, None if like is None else like.shape[1])

    def _rows(self, X: Sequence[Any]) -> tuple[list[Any], Callable[[list[Any]], Sequences]]:
        """What the model reads of each text (ids) or series (numbers), and how such rows become a batch."""
        if not self.tokenizers_:
            return checked_series(X, self.model_.embedding.size), pad_numbers
        return self.tokenizers_["tokenizer"].encode_batch(checked_texts(X)), pad

    def _model(self, embedding: Embedding | Numbers) -> Encoder:
        layer = self._network(self.embedding_size, self.hidden_size, bidirectional=self.bidirectional)
        return Encoder(
            embedding,
            layer,
            len(self.classes_),
            self.pooling,
            dropout=self.dropout,
            label_smoothing=self.label_smoothing,
        )

    def _batches(self, examples: Sequence[tuple[str, Any]], settings: TrainingSettings):
        rows, padded = self._rows([text for text, _ in examples])
        number = {label: index for index, label in enumerate(self.classes_.tolist())}
        targets = torch.tensor([number[label] for _, label in examples])

        def collate(chosen: np.ndarray) -> Batch:
            inputs = padded([rows[i] for i in chosen])
            return Batch(inputs, targets[chosen], len(chosen), int(inputs.lengths.sum()), inputs.mask.numel())

        return bucketed_batches([len(row) for row in rows], settings, collate)

    def _evaluate(self, examples: Sequence[tuple[str, Any]]) -> dict[str, float]:
        texts, labels = zip(*examples, strict=True)
        probabilities = self.predict_proba(texts)
        places = np.searchsorted(self.classes_, np.array(labels))
        of_truth = np.clip(probabilities[np.arange(len(labels)), places], 1e-12, 1)
        right = probabilities.argmax(axis=1) == places
        return {"accuracy": float(right.mean()), "nats": float(-np.log(of_truth).mean())}

    def _scores(self, X: Sequence[Any]) -> np.ndarray:
        self._check_fitted()
        return self._batched(X, self.model_, len(self.classes_))

    @torch.inference_mode()
    def _batched(self, X: Sequence[Any], function, width: int) -> np.ndarray:
        rows, padded = self._rows(X)
        found = np.zeros((len(rows), width), dtype=np.float32)
        for chosen in by_length([len(row) for row in rows], 128):
            found[chosen] = function(padded([rows[i] for i in chosen]).to(self._device)).cpu().numpy()
        return found


def _labels(y: Iterable[Any]) -> list[Any]:
    """The labels as they are: all strings, or all whole numbers."""
    labels = [label.item() if isinstance(label, np.generic) else label for label in listed(y)]
    kind = str if labels and isinstance(labels[0], str) else int
    for number, label in enumerate(labels, start=1):
        if not isinstance(label, kind):
            raise SettingsError(f"labels must be all strings or all whole numbers, but label {number} is {label!r}")
    return labels


def _classes(train: Sequence[tuple[str, Any]], valid: Sequence[tuple[str, Any]]) -> list[Any]:
    """The classes of the training data, sorted."""
    classes = sorted({label for _, label in train})
    if len(classes) < 2:
        raise SettingsError(f"a classifier needs at least two classes, but every label is {classes[0]!r}")
    unseen = sorted({label for _, label in valid} - set(classes))
    if unseen:
        raise SettingsError(
            f"the validation data has classes that the training data lacks: {', '.join(map(repr, unseen[:5]))}; "
            "shuffle the data, or give validation data of its own"
        )
    return classes
