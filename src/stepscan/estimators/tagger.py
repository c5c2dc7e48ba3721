"""Tagger: a transducer that predicts a tag for each token of a sentence, or each time step of a series."""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Self

import numpy as np

from stepscan.backends.batches import Batch, make_words
from stepscan.backends.tensors import as_tensors, to_sequences
from stepscan.data.batching import TrainingBatch
from stepscan.data.example_checks import validation_pair
from stepscan.data.ragged_rows import RaggedRows, SeriesRows, largest, smallest_dtype
from stepscan.data.series.checks import are_numbers
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators import crf_mixture, linear_chain_crf
from stepscan.estimators.architecture import build_layer
from stepscan.estimators.base import Estimator
from stepscan.estimators.data_split import same_input, split_data
from stepscan.estimators.encoded_fit import cached_parts
from stepscan.estimators.encoding import Column, EncodedExamples, Vocabulary, in_portions
from stepscan.estimators.tag_facts import TagFacts, TypicalTags
from stepscan.estimators.training_data import Buckets, TrainingData, make_task
from stepscan.estimators.yardsticks import frequent_tags
from stepscan.evaluation.schemes import near_miss, recognise
from stepscan.evaluation.spans import spans
from stepscan.memory import check_fits
from stepscan.models.tagger import Sentence, TaggingMixin, as_sentences, outside_penalties, tag_metrics, tagged_examples
from stepscan.options import TagOptions, TrainingOptions
from stepscan.patterns.crf import CRFTransducer
from stepscan.patterns.embedding import Embedding, WordAndCharacterEmbedding
from stepscan.patterns.numeric_embedding import NumericEmbedding
from stepscan.patterns.transducer import Transducer
from stepscan.processes.joining import join
from stepscan.training.loop import Task
from stepscan.training.progress import ProgressBar
from stepscan.wide.crf import TRANSITIONS, WideCRF

Example = tuple[Sentence, Sentence]  # tokens and tags

logger = logging.getLogger(__name__)
_MAX_HELD_OUT_SCORES = 400_000  # scores of tags by which the shares of network and wide part are chosen


class Tagger(TaggingMixin, TagOptions, Estimator):
    """Tags every token from its word embedding, a character encoder and its context.

    Inputs `X` are sentences (lists of tokens) or series: arrays `[T]` or `[T, D]` of T time steps with D dimensions,
    with a tag for each step. Series are standardised by the training data's mean and standard deviation; the settings
    of words (`char_embedding_size`, `vocabulary_size`, `lowercase`, `word_dropout`) apply to texts only.
    """

    pattern: ClassVar[type] = Transducer
    cached_settings: ClassVar[tuple[str, ...]] = ("vocabulary_size", "lowercase", "char_embedding_size")
    has_fixed_vectors: ClassVar[bool] = True

    def fit(
        self,
        X: Sequence[Sentence],
        y: Sequence[Sentence],
        validation: tuple[Sequence[Sentence], Sequence[Sentence]] | None = None,
    ) -> Self:
        """Train on sentences or series `X` and their tags `y`.

        If the tags mark spans, `scheme_` is their scheme; see `stepscan.evaluation.schemes`.

        Args:
            X: N sentences or series; empty ones are checked, and not used.
            y: the tags of each, one per token or time step.
            validation: `(X, y)`; without it, a tenth is held out at random.

        Raises:
            SettingsError: a setting is wrong, or a sentence has not as many tags as tokens.
        """
        return self._fit(X, y, validation)

    def _data(self, X: Sequence[Sentence], y: Sequence[Sentence], validation: Any) -> TrainingData:
        examples = tagged_examples(as_sentences(X), y, "sentences")
        valid = None
        if validation is not None:
            X, y = validation_pair(validation)
            valid = tagged_examples(as_sentences(X, like=examples[0][0]), y, "validation sentences")
        all_tags = [tags for _, tags in examples]
        examples = [example for example in examples if example[1]]
        rules: dict[str, Any] = {"labels": lambda example: example[1], "groups": same_input}
        cross_validate = self._is_cross_validated(len(examples), sum(len(tags) for _, tags in examples))
        parts = split_data(examples, valid, cross_validate=cross_validate, verbose=self.verbose, **rules)
        train = parts[0][0]
        self._check_tags(_distinct_tags(train))
        self._has_valid_scheme = self._read_scheme(all_tags, [tags for _, tags in valid or ()])
        self._check_held_out_spans([tags for _, held_out in parts for _, tags in held_out])
        kind = "series" if are_numbers([tokens for tokens, _ in train]) else "text"
        self._choose_settings(kind, len(train), sum(len(tags) for _, tags in train))
        together = [*examples, *(valid or ())]
        return TrainingData(parts, valid is not None, len(together), lambda: together)

    def _check_tags(self, labels: list[str]) -> None:
        """Check the distinct tags of the training data."""
        self.labels_ = labels
        self._check_crf_memory()
        if len(labels) == 1:
            logger.warning(
                f"every token of the training data has the same tag, {labels[0]!r}: there is nothing to learn; "
                "is it the right column or field?"
            )

    def _prepare(self, train: Any, held_out: list[Example] | None, settings: TrainingOptions) -> Task:
        """A new model and its training task."""
        encoded = self._encoded(train)
        tokens, tags = encoded.columns["tokens"], encoded.columns["tags"]
        forbidden = self.scheme_.forbidden(self.labels_ or ()) if self.scheme_ and self._has_valid_scheme else []
        model = self._build_model(tokens, forbidden, max_length=lambda: largest(tags.lengths))
        self.model_ = model.to(settings.device)
        batches = Buckets(tags.lengths, settings, self._collate(encoded.columns), scratch=encoded.scratch)
        evaluate = None if held_out is None else lambda: self._evaluate(held_out)
        return make_task(self.model_, batches, evaluate, len(held_out or ()), True, encoded.fingerprint)

    def _learn(self, examples: Iterable[Example]) -> Vocabulary:
        tags, words, facts = set[str](), set[str](), TagFacts()

        def sentences() -> Iterator[Any]:
            for tokens, row in examples:
                tags.update(row)
                yield tokens
                if not isinstance(tokens, np.ndarray):
                    words.update(tokens)
                    facts.add(tokens, row)

        rest = sentences()
        first = next(rest)
        all_tokens, tokenizers = chain([first], rest), {}
        if not isinstance(first, np.ndarray):
            tokenizers = self._train_tokenizers(all_tokens, words)
        deque(all_tokens, maxlen=0)  # of series
        return Vocabulary(tokenizers, sorted(tags), facts.to_dict(), sorted(words))

    def _train_tokenizers(self, sentences: Iterable[Sentence], words: set[str]) -> dict[str, TextTokenizer]:
        """Tokenizers of words, and of the characters of distinct `words`, which are complete when all sentences are
        read."""
        if self.input_noise:
            raise SettingsError(f"input_noise: expected 0 for sentences, got {self.input_noise}")
        tokenizer = TextTokenizer.train(
            "whitespace", map(list, sentences), vocabulary_size=self.vocabulary_size, lowercase=self.lowercase
        )
        if self.char_embedding_size == 0:
            return {"tokenizer": tokenizer}
        return {"tokenizer": tokenizer, "characters": TextTokenizer.train("character", sorted(words))}

    def _encode_examples(self, examples: Iterable[Example], vocabulary: Vocabulary) -> Iterator[dict[str, Column]]:
        tag_ids = {tag: index for index, tag in enumerate(self.labels_ or ())}
        word_ids = {word: index for index, word in enumerate(vocabulary.words)}
        for words in in_portions(vocabulary.words):
            yield self._encode_words(words)
        for portion in in_portions(examples):
            sentences, tag_rows = zip(*portion, strict=True)
            tokens: Column = SeriesRows(sentences)
            if self.tokenizers_:
                rows = [[word_ids[token] for token in sentence] for sentence in sentences]
                tokens = RaggedRows.of(rows, smallest_dtype(len(word_ids)))
            tags = [[tag_ids[tag] for tag in row] for row in tag_rows]
            yield {"tokens": tokens, "tags": RaggedRows.of(tags, smallest_dtype(len(tag_ids)))}

    def _encode_words(self, words: Sequence[str]) -> dict[str, Column]:
        """Of distinct words, their ids and those of their characters."""
        tokenizer, characters = (self.tokenizers_.get(name) for name in ("tokenizer", "characters"))
        assert tokenizer is not None
        columns: dict[str, Column] = {
            "words": np.array(tokenizer.encode_tokens(words), dtype=smallest_dtype(len(tokenizer)))
        }
        if characters is not None:
            columns["spellings"] = RaggedRows.of(characters.encode_batch(words), smallest_dtype(len(characters)))
        return columns

    def _cached_data(self, examples: EncodedExamples, held_out: list[Example]) -> TrainingData:
        facts = examples.vocabulary.facts
        held_out = [example for example in held_out if example[1]]
        self._check_tags(examples.vocabulary.labels or [])
        typical = TypicalTags(facts)
        self._has_valid_scheme = self._read_scheme(typical, [tags for _, tags in held_out])
        self._check_held_out_spans([tags for _, tags in held_out])
        self._choose_settings("text", facts["sentences"], facts["tokens"])
        return cached_parts(examples, held_out, facts["sentences"])

    def _cached_yardstick(self, examples: EncodedExamples, held_out: list[Example]) -> None:
        parts = [(examples.vocabulary.facts["sample"], held_out)]
        self.yardstick_, self.wide_ = frequent_tags(parts, self.scheme_).to_dict(), None
        sample = self._sampled(held_out)
        scores = [self._held_out_scores(sample, self._held_out_results(held_out))]
        self._choose_shares(scores, [sample], wide=False)

    def _held_out_results(self, held_out: list[Example]) -> dict[str, Any]:
        """The network's scores of held-out tokens `[T, K]`, and the transitions of its CRF."""
        crf = self.network_.crf
        sentences = [tokens for tokens, _ in self._sampled(held_out)]
        scores = self._map_scores(sentences, lambda _: lambda batch: batch.data, wide=False)
        transitions = None if crf is None else dict(zip(TRANSITIONS, crf.path_scores(), strict=True))
        transitions = transitions and {name: scores.tolist() for name, scores in transitions.items()}
        return {"scores": [array.tolist() for array in scores], "crf": transitions}

    def _sampled(self, held_out: list[Example]) -> list[Example]:
        """Enough held-out examples to choose the shares by, evenly from the whole file: of those whose tags occur in
        training and are allowed by a CRF."""
        known = set(self.labels_ or ())
        scheme = self.scheme_ if self._has_valid_scheme else None
        examples = [
            example
            for example in held_out
            if set(example[1]) <= known and not (scheme and scheme.first_break([example[1]]))
        ]
        tokens = sum(len(tags) for _, tags in examples)
        return examples[:: max(1, -(-tokens * len(known) // _MAX_HELD_OUT_SCORES))]

    def _select_best(self, data: TrainingData, results: Sequence[Sequence[dict[str, Any]]], is_refitted: bool) -> int:
        """Fit the wide part, and choose the shares of network and wide part, and for spans the penalty of O, by the
        scores of held-out sentences."""
        self.yardstick_, self.wide_ = frequent_tags(data.parts, self.scheme_).to_dict(), None
        samples = [self._sampled(held_out) for _, held_out in data.parts]
        evaluations = [
            [self._held_out_scores(sample, result) for sample, result in zip(samples, part_results, strict=True)]
            for part_results in zip(*results, strict=True)
        ]
        best = int(np.argmin([crf_mixture.loss(scores) for scores in evaluations]))
        scores, wide_parts = evaluations[best], []
        is_numeric = are_numbers([tokens for tokens, _ in data.parts[0][0]])
        if self.wide and not is_numeric and linear_chain_crf.is_affordable(len(self.labels_ or ())):
            wide_parts = [self._fit_wide(train, self.labels_) for train, _ in data.parts]
            scores = [
                part_scores.with_wide(wide, [tokens for tokens, _ in sample])
                for part_scores, wide, sample in zip(scores, wide_parts, samples, strict=True)
            ]
        shares = self._choose_shares(scores, samples, wide=bool(wide_parts))
        if shares[1]:
            examples = data.together()
            wide = self._fit_wide(examples, _distinct_tags(examples)) if is_refitted else wide_parts[0]
            self.wide_ = dataclasses.replace(wide, shares=shares)
        return best

    def _choose_shares(
        self, scores: Sequence[crf_mixture.HeldOutScores], samples: Sequence[Sequence[Example]], *, wide: bool
    ) -> crf_mixture.Shares:
        """The shares of network and wide part, if there is one; for spans `outside_penalty_` is chosen with them.
        Validation scores that differ from those of the network alone get a row of `history_`."""

        def f1(shares: crf_mixture.Shares, penalty: float) -> float:
            return self._mixture_scores(scores, samples, shares, penalty)["f1"]

        shares, self.outside_penalty_ = (1.0, 0.0), 0.0
        if self.scheme_ is not None:
            shares, self.outside_penalty_ = crf_mixture.best_for_spans(scores, f1, wide=wide)
        elif wide:
            shares = crf_mixture.most_likely(scores)
        if shares[1] or self.outside_penalty_ or len(samples) > 1:
            figures = self._mixture_scores(scores, samples, shares, self.outside_penalty_)
            self._add_row({f"valid_{name}": value for name, value in figures.items()})
        return shares

    def _mixture_scores(
        self,
        scores: Sequence[crf_mixture.HeldOutScores],
        samples: Sequence[Sequence[Example]],
        shares: crf_mixture.Shares,
        penalty: float,
    ) -> dict[str, float]:
        """Validation scores of network and wide part with these shares, and with this penalty of O."""
        classes, penalties = self.classes_, outside_penalties(self.labels_ or [], self.scheme_, penalty)
        predictions = [classes[path].tolist() for part in scores for path in part.best_paths(shares, penalties)]
        return _validation_scores(
            tag_metrics(predictions, [tags for sample in samples for _, tags in sample], self.scheme_)
        )

    def _held_out_scores(self, examples: list[Example], result: dict[str, Any]) -> crf_mixture.HeldOutScores:
        tag_ids = {tag: index for index, tag in enumerate(self.labels_ or ())}
        ids = [[tag_ids[tag] for tag in tags] for _, tags in examples]
        return crf_mixture.HeldOutScores.from_network(ids, result["scores"], result["crf"], len(tag_ids))

    def _fit_wide(self, examples: Sequence[Example], labels: list[Any] | None) -> WideCRF:
        tag_ids = {tag: index for index, tag in enumerate(labels or ())}
        sentences, tag_lists = zip(*examples, strict=True)
        ids = [[tag_ids[tag] for tag in tags] for tags in tag_lists]
        return linear_chain_crf.fit_wide_crf(sentences, ids, len(tag_ids))

    def _embedding(self, tokens: Any) -> Any:
        settings = self.effective_settings
        if not self.tokenizers_:
            if self.embedding_dropout:
                raise SettingsError(
                    f"embedding_dropout: expected 0 for series of numbers, got {self.embedding_dropout}"
                )
            return NumericEmbedding(
                tokens.series[0].shape[1], settings.embedding_size, self._input_dropout, settings.input_noise
            ).standardise(tokens.series)
        words = Embedding(
            len(self.tokenizers_["tokenizer"]),
            settings.embedding_size,
            word_dropout=settings.word_dropout,
            unknown=self.tokenizers_["tokenizer"].unknown,
            dropout=0.0 if settings.char_embedding_size else self._input_dropout,
            embedding_dropout=self.embedding_dropout,
            **self._vector_arguments,
        )
        if not settings.char_embedding_size:
            return words
        characters = Embedding(len(self.tokenizers_["characters"]), settings.char_embedding_size)
        char_encoder = build_layer(
            settings.cell, settings.char_embedding_size, settings.char_hidden_size, bidirectional=True
        )
        return WordAndCharacterEmbedding(words, characters, char_encoder, self._input_dropout)

    def _check_crf_memory(self) -> None:
        """A CRF has a weight for each pair of tags, and training needs four float32 per weight."""
        tags = len(self.labels_ or ())
        if self.crf:
            advice = "train without crf, or with fewer kinds of tags"
            check_fits(16 * tags**2, f"the transitions between {tags:,} tags that a CRF learns", advice)

    def _check_held_out_spans(self, held_out: list[Sentence]) -> None:
        """Raise before training, not after it, if spans cannot be read from the validation tags."""
        if self.scheme_:
            count = len(spans(held_out, self.scheme_))
            if self.verbose:
                ProgressBar().note(
                    f"the tags mark spans ({self.scheme_.name}): the best weights are those with the best F1 of "
                    f"{count:,} spans"
                )

    def _read_scheme(self, y: Iterable[Sentence], valid: Sequence[Sentence]) -> bool:
        """Detect the scheme of the tags, and return whether a CRF can forbid the transitions that it forbids."""
        self.scheme_, broken = recognise(y)
        if self.scheme_ is None:
            if reason := near_miss(y):
                logger.warning(f"no F1 of spans, only accuracy: the tags look like spans, but {reason}")
            return False
        if broken:
            note = "; the CRF forbids no transitions" if self.crf else ""
            logger.warning(f"the tags are not {self.scheme_.name}: {broken}; F1 counts spans as conlleval does{note}")
        else:
            self._warn_of_other_scheme(valid, "of the validation data")
        return self.crf and not broken

    def _make_layers(self, input_size: int = 8) -> Any:
        settings = self.effective_settings
        if self.crf and self.label_smoothing:
            raise SettingsError(f"label_smoothing: expected 0 with crf, got {self.label_smoothing}; omit one")
        return self._layer(input_size, settings.hidden_size, bidirectional=settings.bidirectional)

    def _make_model(self, tokens: Any, forbidden: list[list[int]]) -> Transducer:
        settings, embedding = self.effective_settings, self._embedding(tokens)
        layer = self._make_layers(embedding.output_size)
        if self.crf:
            return CRFTransducer(embedding, layer, len(self.classes_), dropout=settings.dropout, forbidden=forbidden)
        return Transducer(
            embedding, layer, len(self.classes_), dropout=settings.dropout, label_smoothing=self.label_smoothing
        )

    def _collate(self, columns: Mapping[str, Any]) -> Callable[[np.ndarray], TrainingBatch]:
        tokens, words, spellings = columns["tokens"], columns.get("words"), columns.get("spellings")

        def collate(indices: np.ndarray) -> TrainingBatch:
            rows, targets = tokens.padded(indices), to_sequences(columns["tags"].padded(indices))
            inputs = rows if words is None else Batch(words[rows.data].astype(np.int64) * rows.mask, rows.lengths)
            if spellings is not None:
                inputs = make_words(inputs, rows.data, spellings)
            return TrainingBatch(
                as_tensors(inputs), targets, len(indices), int(targets.lengths.sum()), targets.data.numel()
            )

        return collate

    def _evaluate(self, examples: Sequence[Example]) -> dict[str, float]:
        """Validation scores of the network alone."""
        sentences = [tokens for tokens, _ in examples]
        predicted = join(self.training_options()).map(lambda some: self._predict_tags(some, wide=False), sentences)
        return _validation_scores(tag_metrics(predicted, [tags for _, tags in examples], self.scheme_))


def _validation_scores(figures: dict[str, Any]) -> dict[str, float]:
    return {name: figures[name] for name in ("f1", "accuracy") if name in figures}


def _distinct_tags(examples: Sequence[Example]) -> list[str]:
    """The distinct tags, sorted."""
    return sorted({tag for _, tags in examples for tag in tags})
