"""Classifier: an encoder over a text or a series of numbers, to a class, to labels, or to a number."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils import RegressorTags

from stepscan.data.batching import TrainingBatch, pad, pad_numbers
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.examples import Buckets, parts, same_input, task_of
from stepscan.estimators.learning import Data
from stepscan.estimators.networks import EncoderNetwork
from stepscan.estimators.wide import fit_wide, mixture
from stepscan.options import ClassifyOptions, TrainingOptions
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.numeric_embedding import NumericEmbedding
from stepscan.runtime.classifier import ClassificationMixin
from stepscan.runtime.examples import as_list, checked_texts, make_pairs, validation_pair, warn_of_imbalance
from stepscan.runtime.series import are_numbers, checked_series
from stepscan.runtime.wide.scores import Wide
from stepscan.runtime.yardstick import Yardstick, best_constant, guess
from stepscan.sequences import Sequences
from stepscan.training.loop import Task

# By how many examples, at most, the shares of network and wide part are chosen, and by how many scores of theirs.
_JUDGED, _JUDGED_SCORES = 5_000, 500_000


class Classifier(ClassificationMixin, ClassifierMixin, TransformerMixin, ClassifyOptions, Estimator):
    """Decides which class a text, or a series of numbers, belongs to; or which labels it has, or predicts a number.

    Wherever texts `X` are taken, so are series: arrays `[T]` or `[T, D]` of T time steps of D dimensions, or all in one
    array `[N, T]` or `[N, T, D]`. They are standardised by the training data's mean and deviation.
    `word_dropout`, `tokenizer`, `vocabulary_size` and `lowercase` are for texts alone.
    """

    pattern: ClassVar[type] = Encoder
    adaptor: ClassVar[type] = EncoderNetwork

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if self.problem_type != "classification":
            tags.estimator_type, tags.classifier_tags = None, None
        if self.problem_type == "regression":
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
        return self._fit(X, y, validation)

    def _data(self, X: Sequence[Any], y: Sequence[Any], validation: Any) -> Data:
        problem = self.problem
        if self.problem_type == "regression" and self.label_smoothing:
            raise SettingsError("label_smoothing: expected 0 for regression; it is for classification and multilabel")
        if self.problem_type != "classification" and self.class_weights != "none":
            raise SettingsError(
                f"class_weights: expected 'none' for {self.problem_type}, got {self.class_weights!r}; "
                "they are for classification"
            )
        if y is None:
            raise SettingsError("Classifier requires y to be passed, but the target y is None")
        examples = make_pairs(self._checked(as_list(X)), problem.validated(y), ("texts", "classes"))
        valid = None
        if validation is not None:
            texts, true = validation_pair(validation)
            checked = self._checked(texts, like=examples[0][0])
            valid = make_pairs(checked, problem.validated(true), ("validation texts", "classes"))
        items = sum(self._length(text) for text, _ in examples)
        parts = self._parts(examples, valid, are_few=self._is_cross_validated(len(examples), items))
        self.labels_ = self._labels(*parts[0])
        is_text = isinstance(examples[0][0], str)
        self._choose("text" if is_text else "series", len(examples), items)
        if self.problem_type == "classification":
            advice = "; --class-weights balanced learns the rare ones too" if self.class_weights == "none" else ""
            warn_of_imbalance([answer for _, answer in examples], "training data", advice)
        together = [*examples, *(valid or ())]
        return Data(parts, valid is not None, len(together), lambda: together)

    def _parts(
        self, examples: list[Any], valid: list[Any] | None, *, are_few: bool
    ) -> list[tuple[list[Any], list[Any]]]:
        """Training and validation data; of few examples, the folds of a cross-validation."""
        problem = self.problem
        rules: dict[str, Any] = {
            "labels": lambda example: problem.flat_labels([example[1]]),
            "stratified": None if self.problem_type == "multilabel" else lambda example: example[1],
            "groups": same_input,
        }
        return parts(examples, valid, are_few=are_few, verbose=self.verbose, **rules)

    def _length(self, text: Any) -> int:
        """Items, roughly, before there is a tokenizer."""
        is_of_words = isinstance(text, str) and self.tokenizer not in ("character", "byte")
        return text.count(" ") + 1 if is_of_words else len(text)

    def _labels(self, train: list[tuple[Any, Any]], held_out: list[tuple[Any, Any]] | None) -> list[Any] | None:
        train_answers, others = ([answer for _, answer in part or ()] for part in (train, held_out))
        return self.problem.labels(train_answers, others)

    def _prepare(
        self, train: list[tuple[Any, Any]], held_out: list[tuple[Any, Any]] | None, settings: TrainingOptions
    ) -> Task:
        """Model and task for these examples."""
        problem, texts = self.problem, [text for text, _ in train]
        answers = [answer for _, answer in train]
        self.labels_ = self._labels(train, held_out)
        embedding = self._embedding(texts)
        self.model_ = self._built(embedding, longest=lambda: self._longest_of(texts)).to(settings.device)
        if self.problem_type == "regression":
            self.model_.standardise(torch.from_numpy(problem.targets(answers, None)))
        if self.class_weights == "balanced":
            self.model_.balance(torch.from_numpy(problem.targets(answers, self.labels_)))
        batches = self._batches(texts, answers, settings)
        evaluate = None if held_out is None else lambda: self._evaluate(held_out)
        return task_of(self.model_, batches, evaluate, len(held_out or ()), problem.greater_is_better)

    def _judge(self, held_out: list[tuple[Any, Any]]) -> str:
        """The network's scores of examples that it has not seen: float32 `[N, outputs]`, in base64."""
        scores = self._scores([text for text, _ in self._some_of(held_out)], wide=False)
        return base64.b64encode(np.asarray(scores, np.float32).tobytes()).decode()

    def _some_of(self, held_out: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """As many as suffice to choose the shares by, from all places of the file."""
        most = min(_JUDGED, max(100, _JUDGED_SCORES // len(self.labels_ or (None,))))
        return held_out[:: max(1, -(-len(held_out) // most))]

    def _conclude(self, data: Data, judged: Sequence[Sequence[str]], is_refitted: bool) -> int:
        """Fit the wide part, and choose how much it counts by what both say of examples that they have not seen; of
        folds, together with how long the network is best trained beside it."""
        problem, labels = self.problem, self.labels_
        seen = [answer for train, _ in data.parts for _, answer in train]
        self.yardstick_ = self._yardstick(seen, [answer for _, part in data.parts for _, answer in part]).to_dict()
        true = [answer for _, part in data.parts for _, answer in self._some_of(part)]
        each = deep_ones = [_joined(scores, len(labels or (None,))) for scores in zip(*judged, strict=True)]
        shares = [(1.0, 0.0)] * len(each)
        own: list[Wide] = []
        if self.bidirectional if self.wide is None else self.wide:
            own = [self._fitted_wide(train) for train, _ in data.parts]
            heard = [[text for text, _ in self._some_of(part)] for _, part in data.parts]
            wide = np.concatenate([part.scores(texts) for part, texts in zip(own, heard, strict=True)])
            targets = problem.targets(true, labels)
            shares = [mixture(deep, wide, targets, self.problem_type) for deep in deep_ones]
            each = [np.float32(a) * deep + np.float32(b) * wide for deep, (a, b) in zip(deep_ones, shares, strict=True)]
        joint, alone = ([problem.nats(one, true, labels).mean() for one in scores] for scores in (each, deep_ones))
        best = min(range(len(each)), key=lambda n: (joint[n], alone[n]))
        self.wide_ = None
        if shares[best][1]:
            whole = self._fitted_wide(data.together()) if is_refitted else own[0]
            self.wide_ = dataclasses.replace(whole, shares=shares[best])
        if self.wide_ is not None or len(data.parts) > 1:
            found = self._figures_of(
                problem.predictions(each[best], labels), problem.nats(each[best], true, labels), true
            )
            self._add_row({f"valid_{name}": value for name, value in found.items()})
        return best

    def _fitted_wide(self, examples: list[tuple[Any, Any]]) -> Wide:
        texts, answers = zip(*examples, strict=True)
        targets, outputs = self.problem.targets(answers, self.labels_), len(self.labels_ or (None,))
        weights = None
        if self.class_weights == "balanced":
            counts = np.bincount(targets, minlength=outputs)
            weights = counts.sum() / (outputs * np.maximum(counts, 1))
        return fit_wide(texts, targets, self.problem_type, outputs, class_weights=weights)

    def _yardstick(self, answers: Sequence[Any], held_out: Sequence[Any]) -> Yardstick:
        """With balanced classes accuracy is not what is learned for: then what guesses reach in macro F1."""
        if self.class_weights == "balanced":
            return guess(held_out)
        return best_constant(self.problem_type, answers, held_out)

    def _embedding(self, X: Sequence[Any]) -> Embedding | NumericEmbedding:
        """The input map for texts or series; what is learned for it (a vocabulary, mean and deviation) is learned."""
        if are_numbers(X):
            self.tokenizers_ = {}
            if self.embedding_dropout:
                raise SettingsError(f"embedding_dropout={self.embedding_dropout} is for texts, but X holds numbers")
            own = self._in_force
            return NumericEmbedding(
                X[0].shape[1], own.embedding_size, self._input_dropout, own.input_noise
            ).standardise(X)
        if self.input_noise:
            raise SettingsError(f"input_noise={self.input_noise} is for series of numbers, but X holds texts")
        tokenizer = TextTokenizer.train(
            self.tokenizer, X, vocabulary_size=self.vocabulary_size, lowercase=self.lowercase
        )
        self.tokenizers_ = self._with_vectors({"tokenizer": tokenizer}, beside=True)
        return Embedding(
            len(self.tokenizers_["tokenizer"]),
            self._in_force.embedding_size,
            self._input_dropout,
            self._in_force.word_dropout,
            tokenizer.unknown,
            self.embedding_dropout,
            **self._of_vectors,
        )

    def _longest_of(self, X: Sequence[Any]) -> int:
        """Steps of the longest text or series."""
        return max(map(len, self.network_inputs(X) if self.tokenizers_ else X))

    def _checked(self, X: Sequence[Any], like: Any = None) -> list[Any]:
        """Texts or series, whichever came, or those that go with `like`, checked."""
        numeric = are_numbers(X) if like is None else not isinstance(like, str)
        if not numeric:
            return checked_texts(X)
        return checked_series(X, None if like is None else like.shape[1])

    def _rows(self, X: Sequence[Any]) -> tuple[list[Any], Callable[[list[Any]], Sequences]]:
        """What the model reads of each text (ids) or series (numbers), and how such rows become a batch."""
        return self.network_inputs(X), pad if self.tokenizers_ else pad_numbers

    def _model(self, embedding: Embedding | NumericEmbedding) -> Encoder:
        own = self._in_force
        layer = self._network(embedding.output_size, own.hidden_size, bidirectional=own.bidirectional)
        return Encoder(
            embedding,
            layer,
            1 if self.labels_ is None else len(self.labels_),
            self.pooling,
            self.problem_type,
            dropout=own.dropout,
            label_smoothing=self.label_smoothing,
        )

    def _batches(self, X: Sequence[Any], answers: Sequence[Any], settings: TrainingOptions) -> Buckets:
        rows, padded = self._rows(X)
        problem, labels = self.problem, self.labels_

        def collate(chosen: np.ndarray) -> TrainingBatch:
            inputs = padded([rows[i] for i in chosen])
            targets = torch.from_numpy(problem.targets([answers[i] for i in chosen], labels))
            return TrainingBatch(inputs, targets, len(chosen), int(inputs.lengths.sum()), inputs.mask.numel())

        return Buckets([len(row) for row in rows], settings, collate)

    def _evaluate(self, examples: Sequence[tuple[Any, Any]]) -> dict[str, float]:
        """How good the network alone is."""
        texts, answers = zip(*examples, strict=True)
        problem, labels = self.problem, self.labels_

        def compared(scores: np.ndarray, chosen: np.ndarray) -> list[tuple[Any, float]]:
            true = [answers[i] for i in chosen]
            return list(zip(problem.predictions(scores, labels), problem.nats(scores, true, labels), strict=True))

        found, nats = zip(*self._map_scores(texts, compared, wide=False), strict=True)
        return self._figures_of(found, np.array(nats), answers)

    def _figures_of(self, found: Sequence[Any], nats: np.ndarray, answers: Sequence[Any]) -> dict[str, float]:
        figures = self.problem.validation_scores(found, nats, answers)
        if self.class_weights == "balanced":  # then each class counts as much as another when the best is chosen, too
            return {"macro_f1": figures.pop("macro_f1"), **figures}
        return figures


def _joined(judged: Sequence[str], outputs: int) -> np.ndarray:
    """The scores `[N, outputs]` of all parts, as `_judge` wrote them down."""
    return np.concatenate([np.frombuffer(base64.b64decode(one), np.float32) for one in judged]).reshape(-1, outputs)
