"""Tagger: a transducer, from the tokens of a sentence, or the steps of a series of numbers, to as many tags."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from stepscan.data.batching import TrainingBatch, pad
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators import chain, judged_chain
from stepscan.estimators.architecture import network
from stepscan.estimators.base import Estimator
from stepscan.estimators.examples import Buckets, parts, same_input, task_of
from stepscan.estimators.learning import Data
from stepscan.estimators.networks import TransducerNetwork, as_input
from stepscan.estimators.yardsticks import frequent_tags
from stepscan.memory import check_fits
from stepscan.options import TagOptions, TrainingOptions
from stepscan.patterns.crf import CRFTransducer
from stepscan.patterns.embedding import Embedding, WordAndCharacterEmbedding
from stepscan.patterns.numeric_embedding import NumericEmbedding
from stepscan.patterns.transducer import Transducer
from stepscan.runtime.examples import validation_pair
from stepscan.runtime.schemes import near_miss, recognise
from stepscan.runtime.series import are_numbers
from stepscan.runtime.spans import spans
from stepscan.runtime.tagger import Sentence, TaggingMixin, as_sentences, tag_metrics, tagged_examples
from stepscan.runtime.wide.chain import TRANSITIONS, WideChain
from stepscan.training.loop import Task
from stepscan.training.progress import ProgressBar

logger = logging.getLogger(__name__)
_JUDGED = 400_000  # scores of tags, at most, by which the shares of network and wide part are chosen


class Tagger(TaggingMixin, TagOptions, Estimator):
    """Says of every token what it is: each word by its own vector, by its spelling and by what stands around it.

    Wherever sentences `X` are taken, so are series, arrays `[T]` or `[T, D]` of T time steps of D dimensions, with a
    tag for each step. They are standardised by the training data's mean and deviation; the settings of words (spelling,
    vocabulary, case, hiding) are for texts alone.
    """

    pattern: ClassVar[type] = Transducer
    adaptor: ClassVar[type] = TransducerNetwork

    def fit(
        self,
        X: Sequence[Sentence],
        y: Sequence[Sentence],
        validation: tuple[Sequence[Sentence], Sequence[Sentence]] | None = None,
    ) -> Self:
        """Learn from sentences `X` (lists of tokens) and their tags `y`; judged on `validation` or a random tenth.

        Empty sentences are checked, and then neither learned from nor held out. If the tags mark spans, `scheme_` says
        by which scheme; see `stepscan.runtime.schemes`.

        Raises:
            SettingsError: a setting is wrong, or a sentence has not as many tags as tokens.
        """
        return self._fit(X, y, validation)

    def _data(self, X: Sequence[Sentence], y: Sequence[Sentence], validation: Any) -> Data:
        examples = tagged_examples(as_sentences(X), y, "sentences")
        valid = None
        if validation is not None:
            X, y = validation_pair(validation)
            valid = tagged_examples(as_sentences(X, like=examples[0][0]), y, "validation sentences")
        filled = [one for one in examples if one[1]]
        rules: dict[str, Any] = {"labels": lambda example: example[1], "groups": same_input}
        are_few = self._is_cross_validated(len(filled), sum(len(tags) for _, tags in filled))
        divided = parts(filled, valid, are_few=are_few, verbose=self.verbose, **rules)
        train = divided[0][0]
        self.labels_ = _tags(train)
        self._check_tags_fit()
        if len(self.labels_) == 1:
            said = "there is nothing to tell apart; is it the right column or field?"
            logger.warning(f"every token of the training data has the same tag, {self.labels_[0]!r}: {said}")
        self._forbids = self._read_scheme([tags for _, tags in examples], [tags for _, tags in valid or ()])
        self._say_judge([tags for _, held_out in divided for _, tags in held_out])
        kind = "series" if are_numbers([tokens for tokens, _ in train]) else "text"
        self._choose(kind, len(train), sum(len(tags) for _, tags in train))
        together = [*filled, *(valid or ())]
        return Data(divided, valid is not None, len(together), lambda: together)

    def _prepare(
        self,
        train: list[tuple[Sentence, Sentence]],
        held_out: list[tuple[Sentence, Sentence]] | None,
        settings: TrainingOptions,
    ) -> Task:
        """Model and task for these examples."""
        sentences = [tokens for tokens, _ in train]
        self.labels_, self.tokenizers_ = _tags(train), self._with_vectors(self._tokenizers(sentences), beside=True)
        forbidden = self.scheme_.forbidden(self.labels_) if self.scheme_ and self._forbids else []
        self.model_ = self._built(sentences, forbidden, longest=lambda: max(map(len, sentences))).to(settings.device)
        batches = self._batches(train, settings)
        evaluate = None if held_out is None else lambda: self._evaluate(held_out)
        return task_of(self.model_, batches, evaluate, len(held_out or ()), greater_is_better=True)

    def _judge(self, held_out: list[tuple[Sentence, Sentence]]) -> dict[str, Any]:
        """The network's scores of tokens that it has not seen; and those of its CRF."""
        few = self._few(held_out)
        crf = self.network_.crf
        scores = self._map_scores([tokens for tokens, _ in few], lambda _: lambda data, _: data, wide=False)
        weights = {name: getattr(crf, name).tolist() for name in TRANSITIONS} if crf is not None else None
        return {"scores": [own.tolist() for own in scores], "crf": weights}

    def _few(self, held_out: list[tuple[Sentence, Sentence]]) -> list[tuple[Sentence, Sentence]]:
        """The examples that network and wide part are judged by: those whose tags are known, and a CRF may yield; of
        many, some from all places of the file."""
        known = set(self.labels_ or ())
        rules = self.scheme_ if self._forbids else None
        found = [one for one in held_out if set(one[1]) <= known and not (rules and rules.first_break([one[1]]))]
        tokens = sum(len(tags) for _, tags in found)
        return found[:: max(1, -(-tokens * len(known) // _JUDGED))]

    def _conclude(self, data: Data, judged: Sequence[Sequence[dict[str, Any]]], is_refitted: bool) -> int:
        """Fit the wide part, and choose how much it counts by what both say of sentences that they have not seen."""
        self.yardstick_, self.wide_ = frequent_tags(data.parts, self.scheme_).to_dict(), None
        few = [self._few(held_out) for _, held_out in data.parts]
        several = [
            [self._judged(part, said) for part, said in zip(few, one, strict=True)] for one in zip(*judged, strict=True)
        ]
        best, shares = int(np.argmin([judged_chain.loss(one) for one in several])), (1.0, 0.0)
        found = several[best]
        numeric = are_numbers([tokens for tokens, _ in data.parts[0][0]])
        if self.wide and not numeric and chain.is_worth_it(len(self.labels_ or ())):
            own = [self._fitted_wide(train, self.labels_) for train, _ in data.parts]
            found = [
                one.beside(part, [tokens for tokens, _ in sentences])
                for one, part, sentences in zip(found, own, few, strict=True)
            ]
            judge = None if self.scheme_ is None else lambda shares: self._figures_of(found, few, shares)["f1"]
            shares = judged_chain.best_mixture(found, judge)
            if shares[1]:
                everything = data.together()
                whole = self._fitted_wide(everything, _tags(everything)) if is_refitted else own[0]
                self.wide_ = dataclasses.replace(whole, shares=shares)
        if self.wide_ is not None or len(data.parts) > 1:
            figures = self._figures_of(found, few, shares)
            self._add_row({f"valid_{name}": value for name, value in figures.items()})
        return best

    def _figures_of(
        self,
        judged: Sequence[judged_chain.Judged],
        examples: Sequence[Sequence[tuple[Sentence, Sentence]]],
        shares: tuple[float, float],
    ) -> dict[str, float]:
        """How good network and wide part are with such shares."""
        classes = self.classes_
        tags = [classes[path].tolist() for one in judged for path in one.decided(*shares)]
        return _scores(tag_metrics(tags, [own for part in examples for _, own in part], self.scheme_))

    def _judged(self, examples: list[tuple[Sentence, Sentence]], said: dict[str, Any]) -> judged_chain.Judged:
        number = {tag: index for index, tag in enumerate(self.labels_ or ())}
        tags = [[number[tag] for tag in tags] for _, tags in examples]
        return judged_chain.Judged.of(tags, said["scores"], said["crf"], len(number))

    def _fitted_wide(self, examples: Sequence[tuple[Sentence, Sentence]], labels: list[Any] | None) -> WideChain:
        number = {tag: index for index, tag in enumerate(labels or ())}
        sentences, tags = zip(*examples, strict=True)
        return chain.fit_wide_chain(sentences, [[number[tag] for tag in own] for own in tags], len(number))

    def _tokenizers(self, sentences: list[Sentence]) -> dict[str, TextTokenizer]:
        if are_numbers(sentences):
            return {}
        if self.input_noise:
            raise SettingsError(f"input_noise={self.input_noise} is for series of numbers, but X holds sentences")
        words = TextTokenizer.train(
            "whitespace", map(list, sentences), vocabulary_size=self.vocabulary_size, lowercase=self.lowercase
        )
        if not self._in_force.char_embedding_size:
            return {"tokenizer": words}
        distinct = sorted({token for sentence in sentences for token in sentence})
        return {"tokenizer": words, "characters": TextTokenizer.train("character", distinct)}

    def _embedding(self, X: list[Any]) -> Embedding | WordAndCharacterEmbedding | NumericEmbedding:
        own = self._in_force
        if not self.tokenizers_:
            if self.embedding_dropout:
                raise SettingsError(f"embedding_dropout={self.embedding_dropout} is for words, but X holds numbers")
            return NumericEmbedding(
                X[0].shape[1], own.embedding_size, self._input_dropout, own.input_noise
            ).standardise(X)
        words = Embedding(
            len(self.tokenizers_["tokenizer"]),
            own.embedding_size,
            word_dropout=own.word_dropout,
            unknown=self.tokenizers_["tokenizer"].unknown,
            dropout=0.0 if own.char_embedding_size else self._input_dropout,
            embedding_dropout=self.embedding_dropout,
            **self._of_vectors,
        )
        if not own.char_embedding_size:
            return words
        characters = Embedding(len(self.tokenizers_["characters"]), own.char_embedding_size)
        spelling = network(own.cell, own.char_embedding_size, own.char_hidden_size, bidirectional=True)
        return WordAndCharacterEmbedding(words, characters, spelling, self._input_dropout)

    def _check_tags_fit(self) -> None:
        """A CRF has a weight for each pair of tags, and training keeps four numbers of each weight."""
        tags = len(self.labels_ or ())
        if self.crf:
            advice = "train without crf, or with fewer kinds of tags"
            check_fits(16 * tags**2, f"the transitions between {tags:,} tags that a CRF learns", advice)

    def _say_judge(self, held_out: list[Sentence]) -> None:
        """Validation tags that spans cannot be read from are an error before training, not after it."""
        if self.scheme_:
            count = len(spans(held_out, self.scheme_))
            if self.verbose:
                ProgressBar().note(
                    f"the tags mark spans ({self.scheme_.name}): the best weights are those with the best F1 of "
                    f"{count:,} spans"
                )

    def _read_scheme(self, y: Sequence[Sentence], valid: Sequence[Sentence]) -> bool:
        """Finds out how tags mark spans, and whether a CRF may rule out what their scheme does."""
        self.scheme_, broken = recognise(y)
        if self.scheme_ is None:
            if reason := near_miss(y):
                logger.warning(f"no F1 of spans, only accuracy: the tags look like spans, but {reason}")
            return False
        if broken:
            ruled = "; the CRF rules nothing out" if self.crf else ""
            logger.warning(f"the tags are not {self.scheme_.name}: {broken}; F1 counts spans as conlleval does{ruled}")
        else:
            self._warn_of_other_scheme(valid, "of the validation data")
        return self.crf and not broken

    def _model(self, X: list[Any], forbidden: list[list[int]]) -> Transducer:
        own, embedding = self._in_force, self._embedding(X)
        layer = self._network(embedding.output_size, own.hidden_size, bidirectional=own.bidirectional)
        if self.crf:
            if self.label_smoothing:
                raise SettingsError("label_smoothing is for tags decided one by one; a CRF decides them together")
            return CRFTransducer(embedding, layer, len(self.classes_), dropout=own.dropout, forbidden=forbidden)
        return Transducer(
            embedding, layer, len(self.classes_), dropout=own.dropout, label_smoothing=self.label_smoothing
        )

    def _batches(self, examples: Sequence[tuple[Sentence, Sentence]], settings: TrainingOptions) -> Buckets:
        read, numeric = self._reader([tokens for tokens, _ in examples]), not self.tokenizers_
        number = {tag: index for index, tag in enumerate(self.classes_.tolist())}
        # A tag that only validation data has is never right; training never sees one.
        tags = [[number[tag] for tag in tags] for _, tags in examples]

        def collate(chosen: np.ndarray) -> TrainingBatch:
            targets = pad([tags[i] for i in chosen])
            count = int(targets.lengths.sum())
            return TrainingBatch(as_input(read(chosen), numeric), targets, len(chosen), count, targets.data.numel())

        return Buckets([len(row) for row in tags], settings, collate)

    def _evaluate(self, examples: Sequence[tuple[Sentence, Sentence]]) -> dict[str, float]:
        """How good the network alone is."""
        return _scores(self._tag_metrics(examples, wide=False))


def _scores(figures: dict[str, Any]) -> dict[str, float]:
    return {name: figures[name] for name in ("f1", "accuracy") if name in figures}


def _tags(examples: Sequence[tuple[Sentence, Sentence]]) -> list[str]:
    """The distinct tags, sorted."""
    return sorted({tag for _, tags in examples for tag in tags})
