"""Classifier: an encoder over a text or a series of numbers, to a class, to labels, or to a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils import RegressorTags

from stepscan.data.batching import Batch, pad, pad_numbers
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.examples import Buckets, hold_out
from stepscan.estimators.networks import EncoderNetwork
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.numbers import Numbers
from stepscan.runtime.classifier import Classifying
from stepscan.runtime.examples import checked_texts, listed, paired, validation_pair, warn_of_imbalance
from stepscan.runtime.series import are_numbers, checked_series
from stepscan.sequences import Sequences
from stepscan.training.loop import Task
from stepscan.training.settings import TrainingSettings


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(Classifying, ClassifierMixin, TransformerMixin, Estimator):
    """Decides which class a text, or a series of numbers, belongs to; or which labels it has, or predicts a number.

    Wherever texts `X` are taken, so are series: arrays `[T]` or `[T, D]` of T time steps of D dimensions, or all in one
    array `[N, T]` or `[N, T, D]`. They are standardised by the training data's mean and deviation.
    `unknown_probability`, `tokenizer`, `vocabulary_size` and `lowercase` are for texts alone.

    Args:
        decision: `class` (one of several), `labels` (any number: each of `y` is a list) or `number` (regression).
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

    pattern: ClassVar[type] = Encoder
    adaptor: ClassVar[type] = EncoderNetwork

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.decision != "class":
            tags.estimator_type, tags.classifier_tags = None, None
        if self.decision == "number":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        return tags

    def fit(
        self, X: Sequence[Any], y: Sequence[Any], validation: tuple[Sequence[Any], Sequence[Any]] | None = None
    ) -> Self:
        """Learn from texts `X` and their classes `y`, strings or whole numbers (or lists of such, or numbers).

        Judged on `validation`, or on a tenth held out at random, stratified by class or number.

        Raises:
            SettingsError: a setting is wrong, there is one class only, or validation data has a class of its own.
        """
        with self._fitting() as settings:
            decision = self._decision
            if self.decision == "number" and self.label_smoothing:
                raise SettingsError("label_smoothing is for classes and labels, but the decision is a number")
            if y is None:
                raise SettingsError("Classifier requires y to be passed, but the target y is None")
            examples = paired(self._checked(listed(X)), decision.checked(y), ("texts", "classes"))
            valid = None
            if validation is not None:
                texts, true = validation_pair(validation)
                checked = self._checked(texts, like=examples[0][0])
                valid = paired(checked, decision.checked(true), ("validation texts", "classes"))
            train, held_out = hold_out(
                examples,
                valid,
                verbose=self.verbose,
                labels=lambda example: decision.named([example[1]]),
                stratified=None if self.decision == "labels" else lambda example: example[1],
            )
            answers = [answer for _, answer in train]
            self.labels_ = decision.labels(answers, [answer for _, answer in held_out])
            if self.decision == "class":
                warn_of_imbalance(answers, "training data")
            texts = [text for text, _ in train]
            embedding = self._embedding(texts)
            self.model_ = self._built(embedding, longest=lambda: self._longest_of(texts)).to(settings.device)
            if self.decision == "number":
                self.model_.standardise(torch.from_numpy(decision.targets(answers, None)))
            batches = self._batches(texts, answers, settings)
            task = Task(
                self.model_, batches, len(batches), lambda: self._evaluate(held_out), decision.greater_is_better
            )
            self._train(settings, task)
        return self

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
        self.tokenizers_ = self._with_vectors({"tokenizer": tokenizer}, beside=True)
        return Embedding(
            len(self.tokenizers_["tokenizer"]),
            self.embedding_size,
            self._input_dropout,
            self.unknown_probability,
            tokenizer.unknown,
            self.embedding_dropout,
            **self._given,
        )

    def _longest_of(self, X: Sequence[Any]) -> int:
        """Steps of the longest text or series."""
        return max(map(len, self._read(X) if self.tokenizers_ else X))

    def _checked(self, X: Sequence[Any], like: Any = None) -> list[Any]:
        """Texts or series, whichever came, or those that go with `like`, checked."""
        numeric = are_numbers(X) if like is None else not isinstance(like, str)
        if not numeric:
            return checked_texts(X)
        return checked_series(X, None if like is None else like.shape[1])

    def _rows(self, X: Sequence[Any]) -> tuple[list[Any], Callable[[list[Any]], Sequences]]:
        """What the model reads of each text (ids) or series (numbers), and how such rows become a batch."""
        return self._read(X), pad if self.tokenizers_ else pad_numbers

    def _model(self, embedding: Embedding | Numbers) -> Encoder:
        layer = self._network(embedding.output_size, self.hidden_size, bidirectional=self.bidirectional)
        return Encoder(
            embedding,
            layer,
            1 if self.labels_ is None else len(self.labels_),
            self.pooling,
            self.decision,
            dropout=self.dropout,
            label_smoothing=self.label_smoothing,
        )

    def _batches(self, X: Sequence[Any], answers: Sequence[Any], settings: TrainingSettings) -> Buckets:
        rows, padded = self._rows(X)
        decision, labels = self._decision, self.labels_

        def collate(chosen: np.ndarray) -> Batch:
            inputs = padded([rows[i] for i in chosen])
            targets = torch.from_numpy(decision.targets([answers[i] for i in chosen], labels))
            return Batch(inputs, targets, len(chosen), int(inputs.lengths.sum()), inputs.mask.numel())

        return Buckets([len(row) for row in rows], settings, collate)

    def _evaluate(self, examples: Sequence[tuple[Any, Any]]) -> dict[str, float]:
        texts, answers = zip(*examples, strict=True)
        decision, labels = self._decision, self.labels_

        def compared(scores: np.ndarray, chosen: np.ndarray) -> list[tuple[Any, float]]:
            true = [answers[i] for i in chosen]
            return list(zip(decision.decided(scores, labels), decision.nats(scores, true, labels), strict=True))

        found, nats = zip(*self._answered(texts, compared), strict=True)
        return decision.judged(found, np.array(nats), answers)
