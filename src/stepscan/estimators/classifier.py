"""Classifier: an encoder over a text or a series of numbers that predicts a class, labels or a value."""

from __future__ import annotations

import base64
import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils import RegressorTags

from stepscan.backends.tensors import to_sequences
from stepscan.data.batching import TrainingBatch
from stepscan.data.example_checks import as_list, checked_texts, make_pairs, validation_pair, warn_of_imbalance
from stepscan.data.ragged_rows import RaggedRows, SeriesRows, largest, occurrences, smallest_dtype, total
from stepscan.data.series.checks import are_numbers, checked_series
from stepscan.data.tokenizers import TextTokenizer
from stepscan.data.vocabulary import WordFacts, word_facts
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.data_split import same_input, split_data
from stepscan.estimators.encoded_fit import cached_parts
from stepscan.estimators.encoding import Column, EncodedExamples, Vocabulary, in_portions
from stepscan.estimators.score_mixture import best_mixture, losses
from stepscan.estimators.target_columns import batch_targets, encoded_targets, typical_targets
from stepscan.estimators.training_data import Buckets, TrainingData, make_task
from stepscan.estimators.wide_model import fit_wide
from stepscan.evaluation.yardstick import Yardstick, best_constant, guess
from stepscan.models.classifier import ClassificationMixin
from stepscan.options import ClassifyOptions, TrainingOptions
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.numeric_embedding import NumericEmbedding
from stepscan.processes.joining import join
from stepscan.training.defaults import READ_FIRST
from stepscan.training.loop import Task
from stepscan.wide.model import WideModel

# Maximum held-out examples, and scores of them, by which the shares of network and wide part are chosen.
_MAX_HELD_OUT, _MAX_HELD_OUT_SCORES = 5_000, 500_000


class Classifier(ClassificationMixin, ClassifierMixin, TransformerMixin, ClassifyOptions, Estimator):
    """Predicts the class of a text or a series of numbers; or its labels, or a value.

    Inputs `X` are texts or series: arrays `[T]` or `[T, D]` of T time steps with D dimensions, or all in one array
    `[N, T]` or `[N, T, D]`. Series are standardised by the training data's mean and standard deviation.
    `word_dropout`, `tokenizer`, `vocabulary_size` and `lowercase` apply to texts only.
    """

    pattern: ClassVar[type] = Encoder
    cached_settings: ClassVar[tuple[str, ...]] = ("tokenizer", "vocabulary_size", "lowercase", "problem_type")
    has_fixed_vectors: ClassVar[bool] = True

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
        """Train on texts or series `X` and their targets `y`.

        Args:
            X: texts or series, N of them.
            y: N classes, strings or whole numbers; lists of labels with `multilabel`; values with `regression`.
            validation: `(X, y)`; without it, a tenth is held out at random, stratified by class or value.

        Raises:
            SettingsError: a setting is wrong, there is only one class, or validation data has a class that training
                data has not.
        """
        return self._fit(X, y, validation)

    def _data(self, X: Sequence[Any], y: Sequence[Any], validation: Any) -> TrainingData:
        problem = self.problem
        if y is None:
            raise SettingsError("Classifier requires y to be passed, but the target y is None")
        examples = make_pairs(self._checked(as_list(X)), problem.validated(y), ("examples", "targets"))
        valid = None
        if validation is not None:
            inputs, targets = validation_pair(validation)
            checked = self._checked(inputs, like=examples[0][0])
            valid = make_pairs(checked, problem.validated(targets), ("validation examples", "targets"))
        is_text = isinstance(examples[0][0], str)
        words = self._word_facts([text for text, _ in examples[:READ_FIRST]]) if is_text else None
        has_words = is_text and self._tokenizer_kind(len(examples), words) not in ("character", "byte")
        items = sum(one.count(" ") + 1 if has_words else len(one) for one, _ in examples)  # of words, approximately
        parts = self._split(examples, valid, cross_validate=self._is_cross_validated(len(examples), items))
        train_targets, held_out_targets = ([target for _, target in part] for part in parts[0])
        self.labels_ = problem.labels(train_targets, held_out_targets)
        self._choose_settings("text" if is_text else "series", len(examples), items, words=words)
        if self.problem_type == "classification":
            warn_of_imbalance((target for _, target in examples), "training data", self._balance_advice)
        together = [*examples, *(valid or ())]
        return TrainingData(parts, valid is not None, len(together), lambda: together)

    def _split(
        self, examples: list[Any], valid: list[Any] | None, *, cross_validate: bool
    ) -> list[tuple[list[Any], list[Any]]]:
        """Training and validation data: one pair, or the folds of a cross-validation."""
        problem = self.problem
        rules: dict[str, Any] = {
            "labels": lambda example: problem.flat_labels([example[1]]),
            "stratified": None if self.problem_type == "multilabel" else lambda example: example[1],
            "groups": same_input,
        }
        return split_data(examples, valid, cross_validate=cross_validate, verbose=self.verbose, **rules)

    def _word_facts(self, texts: Iterable[str]) -> WordFacts | None:
        """About the words of the first texts; None if the tokenizer is set, or word vectors need words."""
        if self.tokenizer is not None or self.embeddings is not None:
            return None
        return word_facts(texts, lowercase=self.lowercase)

    @property
    def _balance_advice(self) -> str:
        return "; --class-weights balanced learns the rare ones too" if self.class_weights == "none" else ""

    def _prepare(self, train: Any, held_out: list[tuple[Any, Any]] | None, settings: TrainingOptions) -> Task:
        """A new model and its training task."""
        encoded = self._encoded(train)
        inputs, targets = encoded.columns["inputs"], encoded.columns["targets"]
        embedding = self._embedding(inputs)
        self.model_ = self._build_model(embedding, max_length=lambda: largest(inputs.lengths)).to(settings.device)
        if self.problem_type == "regression":
            self.model_.standardise(torch.from_numpy(targets))
        if self.class_weights == "balanced":
            self.model_.balance_counts(torch.from_numpy(occurrences(targets, len(self.labels_ or ()))))
        batches = Buckets(inputs.lengths, settings, self._collate(inputs, targets), scratch=encoded.scratch)
        evaluate = None if held_out is None else lambda: self._evaluate(held_out)
        return make_task(
            *(self.model_, batches, evaluate, len(held_out or ()), self.problem.greater_is_better, encoded.fingerprint)
        )

    def _learn(self, examples: Iterable[tuple[Any, Any]]) -> Vocabulary:
        labels: Counter[Any] = Counter()
        example_count, first_target = 0, None

        def inputs() -> Iterator[Any]:
            nonlocal example_count, first_target
            for one, target in examples:
                first_target = first_target if example_count else target
                labels.update(self.problem.flat_labels([target]))
                example_count += 1
                yield one

        rest = inputs()
        first = next(rest)
        tokenizers, words = self._learned_tokenizers(first, rest) if isinstance(first, str) else ({}, None)
        deque(rest, maxlen=0)  # of a tokenizer that needs none
        known = sorted(labels)
        facts = {
            "counts": [labels[label] for label in known],
            "examples": example_count,
            "first": first_target if isinstance(first_target, str) else None,
            "words": words,
        }
        return Vocabulary(tokenizers, None if self.problem_type == "regression" else known, facts)

    def _encode_examples(
        self, examples: Iterable[tuple[Any, Any]], vocabulary: Vocabulary
    ) -> Iterator[dict[str, Column]]:
        for portion in in_portions(examples):
            inputs, answers = zip(*portion, strict=True)
            column: Column = SeriesRows(inputs)
            if self.tokenizers_:
                tokenizer = self.tokenizers_["tokenizer"]
                column = RaggedRows.of(tokenizer.encode_batch(inputs), smallest_dtype(len(tokenizer)))
            yield {"inputs": column, "targets": encoded_targets(self.problem_type, answers, self.labels_)}

    def _collate(self, inputs: Any, targets: Any) -> Callable[[np.ndarray], TrainingBatch]:
        outputs = len(self.labels_ or (None,))

        def collate(indices: np.ndarray) -> TrainingBatch:
            rows = to_sequences(inputs.padded(indices))
            answers = torch.from_numpy(batch_targets(targets, indices, outputs))
            return TrainingBatch(rows, answers, len(indices), int(rows.lengths.sum()), rows.mask.numel())

        return collate

    def _cached_data(self, examples: EncodedExamples, held_out: list[tuple[Any, Any]]) -> TrainingData:
        facts, known = examples.vocabulary.facts, examples.vocabulary.labels or []
        is_multilabel = self.problem_type == "multilabel"
        self.problem.labels([known] if is_multilabel else known, [target for _, target in held_out])
        self.labels_ = examples.vocabulary.labels
        items, words = total(examples.columns["inputs"].lengths), facts.get("words")
        self._choose_settings("text", facts["examples"], items, words=words and WordFacts(*words))
        if self.problem_type == "classification":
            warn_of_imbalance(dict(zip(known, facts["counts"], strict=True)), "training data", self._balance_advice)
        return cached_parts(examples, held_out, facts["examples"])

    def _cached_yardstick(self, examples: EncodedExamples, held_out: list[tuple[Any, Any]]) -> None:
        facts, known = examples.vocabulary.facts, examples.vocabulary.labels or []
        train = typical_targets(examples.columns["targets"], known, facts["counts"])
        self.yardstick_, self.wide_ = self._yardstick(train, [target for _, target in held_out]).to_dict(), None

    def _held_out_results(self, held_out: list[tuple[Any, Any]]) -> str:
        """The network's scores of held-out examples: float32 `[N, outputs]`, in base64."""
        scores = self._scores([text for text, _ in self._sampled(held_out)], wide=False)
        return base64.b64encode(np.asarray(scores, np.float32).tobytes()).decode()

    def _sampled(self, held_out: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Enough held-out examples to choose the shares by, evenly from the whole file."""
        most = min(_MAX_HELD_OUT, max(100, _MAX_HELD_OUT_SCORES // len(self.labels_ or (None,))))
        return held_out[:: max(1, -(-len(held_out) // most))]

    def _select_best(self, data: TrainingData, results: Sequence[Sequence[str]], is_refitted: bool) -> int:
        """Fit the wide part, and choose the shares of network and wide part by their scores of held-out examples; of
        folds, also the evaluation after which their mixture is best."""
        problem, labels = self.problem, self.labels_
        train_targets = [target for train, _ in data.parts for _, target in train]
        held_out_targets = [target for _, held_out in data.parts for _, target in held_out]
        self.yardstick_ = self._yardstick(train_targets, held_out_targets).to_dict()
        samples = [self._sampled(held_out) for _, held_out in data.parts]
        targets = [target for sample in samples for _, target in sample]
        encoded_targets = problem.targets(targets, labels)
        deep = [_decoded(scores, len(labels or (None,))) for scores in zip(*results, strict=True)]  # per evaluation
        mixed, shares = deep, [(1.0, 0.0)] * len(deep)
        wide_parts: list[WideModel] = []
        if self.bidirectional if self.wide is None else self.wide:
            wide_parts = [self._fit_wide(train) for train, _ in data.parts]
            inputs = [[text for text, _ in sample] for sample in samples]
            wide = np.concatenate([part.scores(X) for part, X in zip(wide_parts, inputs, strict=True)])
            shares = [best_mixture(d, wide, encoded_targets, self.problem_type, data.size) for d in deep]
            mixed = [np.float32(a) * d + np.float32(b) * wide for d, (a, b) in zip(deep, shares, strict=True)]
        mixed_loss, deep_loss = (
            [losses(scores, encoded_targets, self.problem_type).mean() for scores in evaluations]
            for evaluations in (mixed, deep)
        )
        best = min(range(len(mixed)), key=lambda n: (mixed_loss[n], deep_loss[n]))
        self.wide_ = None
        if shares[best][1]:
            wide_part = self._fit_wide(data.together()) if is_refitted else wide_parts[0]
            self.wide_ = dataclasses.replace(wide_part, shares=shares[best])
        if self.wide_ is not None or len(data.parts) > 1:
            predictions = problem.predictions(mixed[best], labels)
            scores = self._validation_scores(predictions, problem.nats(mixed[best], targets, labels), targets)
            self._add_row({f"valid_{name}": value for name, value in scores.items()})
        return best

    def _fit_wide(self, examples: list[tuple[Any, Any]]) -> WideModel:
        inputs, answers = zip(*examples, strict=True)
        targets, outputs = self.problem.targets(answers, self.labels_), len(self.labels_ or (None,))
        weights = None
        if self.class_weights == "balanced":
            counts = np.bincount(targets, minlength=outputs)
            weights = counts.sum() / (outputs * np.maximum(counts, 1))
        return fit_wide(inputs, targets, self.problem_type, outputs, class_weights=weights)

    def _yardstick(self, targets: Sequence[Any], held_out: Sequence[Any]) -> Yardstick:
        """The best constant; with balanced class weights, which do not optimise accuracy, guesses by macro F1."""
        if self.class_weights == "balanced":
            return guess(held_out)
        return best_constant(self.problem_type, targets, held_out)

    def _embedding(self, inputs: Any) -> Any:
        """The input map for a column of texts or of series, whose mean and deviation are learned."""
        settings = self.effective_settings
        if self.tokenizers_:
            if self.input_noise:
                raise SettingsError(f"input_noise: expected 0 for texts, got {self.input_noise}")
            return self._text_embedding()
        if self.embedding_dropout:
            raise SettingsError(f"embedding_dropout: expected 0 for series of numbers, got {self.embedding_dropout}")
        return NumericEmbedding(
            inputs.series[0].shape[1], settings.embedding_size, self._input_dropout, settings.input_noise
        ).standardise(inputs.series)

    def _learned_tokenizers(self, first: str, rest: Iterator[str]) -> tuple[dict[str, TextTokenizer], WordFacts | None]:
        """The tokenizer of texts, and the facts by which its kind is chosen, if it is chosen here."""
        texts, words = [first], None
        kind = self.effective_settings.tokenizer
        if kind is None:
            texts += islice(rest, READ_FIRST - 1)
            words = self._word_facts(texts)
            kind = self._tokenizer_kind(len(texts), words)
        settings: Any = {"vocabulary_size": self.vocabulary_size, "lowercase": self.lowercase}
        return {"tokenizer": TextTokenizer.train(kind, chain(texts, rest), **settings)}, words

    def _text_embedding(self) -> Embedding:
        settings, tokenizer = self.effective_settings, self.tokenizers_["tokenizer"]
        return Embedding(
            len(tokenizer),
            settings.embedding_size,
            self._input_dropout,
            settings.word_dropout,
            tokenizer.unknown,
            self.embedding_dropout,
            **self._vector_arguments,
        )

    def _checked(self, X: Sequence[Any], like: Any = None) -> list[Any]:
        """Texts or series, checked; of the same kind as `like`, if given."""
        is_numeric = are_numbers(X) if like is None else not isinstance(like, str)
        if not is_numeric:
            return checked_texts(X)
        return checked_series(X, None if like is None else like.shape[1])

    def _make_layers(self, input_size: int = 8) -> Any:
        settings = self.effective_settings
        if self.problem_type == "regression" and self.label_smoothing:
            raise SettingsError(f"label_smoothing: expected 0 for regression, got {self.label_smoothing}; omit it")
        if self.problem_type != "classification" and self.class_weights != "none":
            raise SettingsError(
                f"class_weights: expected 'none' for {self.problem_type}, got {self.class_weights!r}; omit it"
            )
        return self._layer(input_size, settings.hidden_size, bidirectional=settings.bidirectional)

    def _make_model(self, embedding: Any) -> Encoder:
        settings = self.effective_settings
        layer = self._make_layers(embedding.output_size)
        return Encoder(
            embedding,
            layer,
            1 if self.labels_ is None else len(self.labels_),
            self.pooling,
            self.problem_type,
            dropout=settings.dropout,
            label_smoothing=self.label_smoothing,
        )

    def _evaluate(self, examples: Sequence[tuple[Any, Any]]) -> dict[str, float]:
        """Validation scores of the network alone."""
        results = join(self.training_options()).map(self._predictions_and_nats, examples)
        predictions, nats = zip(*results, strict=True)
        return self._validation_scores(predictions, np.array(nats), [answer for _, answer in examples])

    def _predictions_and_nats(self, examples: Sequence[tuple[Any, Any]]) -> list[tuple[Any, float]]:
        """The network's prediction and loss for each example."""
        inputs, answers = zip(*examples, strict=True)
        problem, labels = self.problem, self.labels_

        def predict(scores: np.ndarray, indices: np.ndarray) -> list[tuple[Any, float]]:
            targets = [answers[i] for i in indices]
            return list(zip(problem.predictions(scores, labels), problem.nats(scores, targets, labels), strict=True))

        return self._map_scores(inputs, predict, wide=False)

    def _validation_scores(
        self, predictions: Sequence[Any], nats: np.ndarray, targets: Sequence[Any]
    ) -> dict[str, float]:
        scores = self.problem.validation_scores(predictions, nats, targets)
        if self.class_weights == "balanced":  # the first score selects the best weights: one that weights classes alike
            return {"macro_f1": scores.pop("macro_f1"), **scores}
        return scores


def _decoded(results: Sequence[str], outputs: int) -> np.ndarray:
    """The scores `[N, outputs]` of all parts from their `_held_out_results`."""
    arrays = [np.frombuffer(base64.b64decode(text), np.float32) for text in results]
    return np.concatenate(arrays).reshape(-1, outputs)
