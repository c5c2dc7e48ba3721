"""Translator: a conditioned generator over text, from a text in one language to a text in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from stepscan.data.batching import TrainingBatch, pad
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.examples import Buckets, hold_out, same_input, task_of
from stepscan.estimators.learning import Data
from stepscan.estimators.networks import ConditionedGeneratorNetwork
from stepscan.estimators.yardsticks import some, symbol_frequencies
from stepscan.options import TrainingOptions, TranslateOptions
from stepscan.patterns.attention import AttentiveDecoder
from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.runtime.batches import PLACES, SCORES, by_length
from stepscan.runtime.examples import validation_pair
from stepscan.runtime.translator import TranslationMixin, make_text_pairs
from stepscan.runtime.yardstick import Yardstick
from stepscan.training.loop import Task


class Translator(TranslationMixin, TranslateOptions, Estimator):
    """Translates: an encoder reads the source, a decoder writes the target, looking back through attention."""

    pattern: ClassVar[type] = ConditionedGenerator
    adaptor: ClassVar[type] = ConditionedGeneratorNetwork

    def fit(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        validation: tuple[Sequence[str], Sequence[str]] | None = None,
    ) -> Self:
        """Learn from texts and their translations; judged on `validation`, or on a tenth held out at random."""
        return self._fit(sources, targets, validation)

    def _data(self, sources: Sequence[str], targets: Sequence[str], validation: Any) -> Data:
        pairs = make_text_pairs(sources, targets, "sources")
        valid = None if validation is None else make_text_pairs(*validation_pair(validation), "validation sources")
        train, held_out = hold_out(pairs, valid, verbose=self.verbose, groups=same_input)
        items = sum(target.count(" ") + 1 for _, target in train)
        self._choose("text", len(train), items)
        together = [*train, *held_out]
        return Data([(train, held_out)], valid is not None, len(together), lambda: together)

    def _prepare(
        self, train: list[tuple[str, str]], held_out: list[tuple[str, str]] | None, settings: TrainingOptions
    ) -> Task:
        """Model and task for these examples."""
        self.tokenizers_, self.labels_ = self._with_vectors(self._tokenizers(train)), None
        self.model_ = self._built(longest=lambda: self._longest_text(train)).to(settings.device)
        batches = self._batches(train, settings)
        if held_out is not None:
            self.yardstick_ = self._yardstick(train, held_out).to_dict()
        evaluate = None if held_out is None else lambda: self._evaluate(held_out)
        return task_of(self.model_, batches, evaluate, len(held_out or ()), greater_is_better=False)

    def _yardstick(self, train: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]]) -> Yardstick:
        """The frequency of each symbol of the targets."""
        writer = self.tokenizers_["tokenizer"]
        ids = (self._encode([target for _, target in some(pairs)], writer) for pairs in (train, held_out))
        known, asked = (np.concatenate(rows) for rows in ids)
        return symbol_frequencies(known, asked, len(writer))

    def _longest_text(self, pairs: Sequence[tuple[str, str]]) -> int:
        """Symbols of the longest source or target."""
        sources, targets = zip(*pairs, strict=True)
        rows = self._encode(sources, self._source_tokenizer) + self._encode(targets, self.tokenizers_["tokenizer"])
        return max(map(len, rows))

    def _tokenizers(self, pairs: Sequence[tuple[str, str]]) -> dict[str, TextTokenizer]:
        sources, targets = zip(*pairs, strict=True)
        size = self._in_force.vocabulary_size
        if self.source_tokenizer is None:
            return {"tokenizer": TextTokenizer.train(self.tokenizer, sources + targets, vocabulary_size=size)}
        return {
            "tokenizer": TextTokenizer.train(self.tokenizer, targets, vocabulary_size=size),
            "source_tokenizer": TextTokenizer.train(self.source_tokenizer, sources, vocabulary_size=size),
        }

    def _model(self) -> ConditionedGenerator:
        if self.input_feeding and self.attention in ("none", "cross"):
            raise SettingsError(
                "input_feeding feeds back what attention found; it needs attention='additive', 'dot' or 'general'"
            )
        if self.input_feeding and self.weight_drop:
            raise SettingsError(
                "weight_drop draws once a scan, but input feeding goes step by step; choose one of them"
            )
        own = self._in_force
        size, hidden = own.embedding_size, own.hidden_size
        encoder = self._network(size, max(1, hidden // 2), bidirectional=True)
        wide = size + hidden if self.input_feeding else size
        memory_size = encoder.output_size if self.attention == "cross" else 0
        layer: Any = self._network(wide, hidden, causal=True, memory_size=memory_size)
        if self.attention not in ("none", "cross"):
            try:
                layer = AttentiveDecoder(
                    layer, encoder.output_size, max(1, hidden // 2), self.input_feeding, self.attention
                )
            except ValueError as error:
                raise SettingsError(f"attention={self.attention!r}: {error}") from None
        of_source = self.tokenizers_.get("source_tokenizer")
        noise: dict[str, Any] = {"dropout": self._input_dropout, "embedding_dropout": self.embedding_dropout}
        source = None if of_source is None else Embedding(len(of_source), size, **noise)
        generator = Generator(
            Embedding(len(self.tokenizers_["tokenizer"]), size, **noise),
            layer,
            tie_weights=True,
            dropout=own.dropout,
            label_smoothing=self.label_smoothing,
        )
        return ConditionedGenerator(source, encoder, generator)

    def _batches(self, pairs: Sequence[tuple[str, str]], settings: TrainingOptions) -> Buckets:
        writer = self.tokenizers_["tokenizer"]
        begin = writer.begin
        sources = self._encode([s for s, _ in pairs], self._source_tokenizer)
        targets = self._encode([t for _, t in pairs], writer)

        def collate(chosen: np.ndarray) -> TrainingBatch:
            source, target = pad([sources[i] for i in chosen]), pad([targets[i] for i in chosen])
            previous = pad([[begin, *targets[i][:-1]] for i in chosen])
            tokens = int(source.lengths.sum() + target.lengths.sum())
            return TrainingBatch(
                (source, previous), target, len(chosen), tokens, source.data.numel() + target.data.numel()
            )

        # By the target's length first: the decoder costs more than the encoder.
        lengths = [len(t) * 1000 + min(len(s), 999) for s, t in zip(sources, targets, strict=True)]
        sizes = [len(s) + len(t) for s, t in zip(sources, targets, strict=True)]
        return Buckets(lengths, settings, collate, sizes)

    def _evaluate(self, pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
        settings = self._settings()
        batches = self._batches(pairs, settings)
        total, count, places = 0.0, 0, min(PLACES, SCORES // len(self.tokenizers_["tokenizer"]))
        for chosen in by_length(batches.sizes, settings.batch_size, places):
            batch = batches.collate(chosen).to(settings.device)
            loss = self.model_.loss(batch.inputs, batch.targets)
            total, count = total + loss.total.item(), count + loss.items
        return {"nats": total / count}
