"""The part of an estimator that turns examples into numbers, and trains on those of a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self

from stepscan.errors import DataError, StepscanError
from stepscan.estimators.encoding import Column, EncodedExamples, Vocabulary, in_memory
from stepscan.estimators.fit_run import FitRun, FitSteps
from stepscan.estimators.model_builder import ModelBuilder
from stepscan.estimators.training_data import TrainingData
from stepscan.json_text import json_text
from stepscan.options import TrainingOptions


class EncodedFit(ModelBuilder):
    """Encodes training data, the same way for memory and for a cache.

    An estimator of texts defines `_learn` and `_encode_examples`, `_cached_data` and `_cached_yardstick`.
    """

    cached_settings: ClassVar[tuple[str, ...]] = ()  # that the numbers of a cache depend on
    has_fixed_vectors: ClassVar[bool] = False  # whether word vectors add their words to the vocabulary

    _prepare: Any
    _train: Any

    def _fitting(self) -> AbstractContextManager[TrainingOptions]:
        raise NotImplementedError

    def training_options(self) -> TrainingOptions:
        """The effective settings of training, checked."""
        raise NotImplementedError

    def _learn(self, examples: Iterable[Any]) -> Vocabulary:
        """What the numbers of training examples stand for; reads the examples once."""
        raise NotImplementedError

    def _encode_examples(self, examples: Iterable[Any], vocabulary: Vocabulary) -> Iterator[Mapping[str, Column]]:
        """The columns of training examples, in parts, by `tokenizers_` and `labels_`."""
        raise NotImplementedError

    def _cached_data(self, examples: EncodedExamples, held_out: Any) -> TrainingData:
        """Training data of a cache and validation data, checked; settings that are not set are chosen."""
        raise NotImplementedError

    def _cached_yardstick(self, examples: EncodedExamples, held_out: Any) -> None:
        """Set the yardstick, where `_prepare` does not."""

    def fit_cached(self, examples: EncodedExamples, validation: Any = None) -> Self:
        """Train on the examples of a cache (see `stepscan.estimators.example_cache.open_cache`), which are read from
        disk batch by batch.

        Args:
            examples: the cache.
            validation: pairs of an input and a target, or a text to generate; None: the examples that the cache holds
                out.

        Raises:
            SettingsError: a setting is wrong, or not one for a cache.
        """

        def only_yardstick(data: TrainingData, results: Any, is_refitted: bool) -> int:
            self._cached_yardstick(*data.parts[0])
            return 0

        estimator: Any = self
        with self._fitting():
            data = self._cached_data(examples, examples.held_out if validation is None else validation)
            steps = FitSteps(self._prepare, self._train, lambda held_out: None, only_yardstick)
            FitRun(estimator, steps, self.training_options()).run(data)
        return self

    def set_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Make `tokenizers_` and `labels_` those that examples are encoded with."""
        self.labels_ = vocabulary.labels
        self.tokenizers_ = self._with_word_vectors(vocabulary.tokenizers, fixed=self.has_fixed_vectors)

    def _encoded(self, train: Any) -> EncodedExamples:
        """Training data as numbers, and `tokenizers_` and `labels_` set."""
        if not isinstance(train, EncodedExamples):
            vocabulary = self._learn(train)
            self.set_vocabulary(vocabulary)
            return in_memory(self._encode_examples(train, vocabulary), vocabulary)
        self.set_vocabulary(train.vocabulary)
        if train.encoded_with != tokenizers_hash(self.tokenizers_):
            raise DataError(
                "the cache was made with other word vectors of the same name.",
                path=train.scratch,
                hint="Remove it; it is made anew.",
            )
        return train


def cached_parts(examples: EncodedExamples, held_out: Any, size: int) -> TrainingData:
    """Training data of a cache with validation data."""
    return TrainingData([(examples, held_out)], True, size, _no_data)


def tokenizers_hash(tokenizers: Mapping[str, Any]) -> str:
    """The SHA-256 of tokenizers."""
    text = json_text({name: tokenizer.to_json() for name, tokenizer in sorted(tokenizers.items())})
    return hashlib.sha256(text.encode()).hexdigest()


def _no_data() -> Any:
    raise StepscanError("data in a cache are not trained on once more; refit: expected off with cache_dir")
