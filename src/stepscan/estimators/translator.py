"""Translator: a conditioned generator that maps a text in one language to a text in another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, ClassVar, Self

import numpy as np

from stepscan.backends.batches import PLACES, SCORES, Batch, by_length
from stepscan.backends.tensors import to_sequences
from stepscan.data.batching import TrainingBatch
from stepscan.data.example_checks import validation_pair
from stepscan.data.ragged_rows import Lengths, RaggedRows, largest, smallest_dtype
from stepscan.data.tokenizers import TextTokenizer
from stepscan.data.vocabulary import WordFacts, word_facts
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.data_split import hold_out, same_input
from stepscan.estimators.encoded_fit import cached_parts
from stepscan.estimators.encoding import Column, EncodedExamples, Vocabulary, in_memory, in_portions
from stepscan.estimators.training_data import Buckets, TrainingData, make_task
from stepscan.estimators.yardsticks import sample, symbol_frequencies
from stepscan.evaluation.bleu import tokenizer_for
from stepscan.evaluation.yardstick import Yardstick
from stepscan.models.translator import TranslationMixin, make_text_pairs
from stepscan.options import TrainingOptions, TranslateOptions
from stepscan.patterns.attention import AttentiveDecoder
from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.processes.joining import join
from stepscan.training.defaults import READ_FIRST, DataFacts
from stepscan.training.loop import Task


class Translator(TranslationMixin, TranslateOptions, Estimator):
    """Translates texts: an encoder reads the source, and a decoder with attention generates the target."""

    pattern: ClassVar[type] = ConditionedGenerator
    cached_settings: ClassVar[tuple[str, ...]] = ("tokenizer", "source_tokenizer", "vocabulary_size")

    def fit(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        validation: tuple[Sequence[str], Sequence[str]] | None = None,
    ) -> Self:
        """Train on texts and their translations.

        Args:
            sources, targets: N texts each.
            validation: `(sources, targets)`; without it, a tenth is held out at random.

        Raises:
            SettingsError: a setting is wrong, or there are not as many targets as sources.
        """
        return self._fit(sources, targets, validation)

    def _data(self, sources: Sequence[str], targets: Sequence[str], validation: Any) -> TrainingData:
        pairs = make_text_pairs(sources, targets, "sources")
        valid = None if validation is None else make_text_pairs(*validation_pair(validation), "validation sources")
        train, held_out = hold_out(pairs, valid, verbose=self.verbose, groups=same_input)
        items = sum(target.count(" ") + 1 for _, target in train)
        self._choose_settings("text", len(train), items, words=self._word_facts(train[:READ_FIRST]))
        together = [*train, *held_out]
        return TrainingData([(train, held_out)], valid is not None, len(together), lambda: together)

    def _prepare(self, train: Any, held_out: list[tuple[str, str]] | None, settings: TrainingOptions) -> Task:
        """A new model and its training task."""
        encoded = self._encoded(train)
        sources, targets = encoded.columns["sources"], encoded.columns["targets"]
        longest = [largest(rows.lengths) for rows in (sources, targets)]
        self.model_ = self._build_model(max_length=lambda: max(longest)).to(settings.device)
        batches = self._batches(encoded, settings)
        if held_out is not None:
            self.yardstick_ = self._yardstick(targets, held_out).to_dict()
        evaluate = None if held_out is None else lambda: self._evaluate(held_out)
        return make_task(self.model_, batches, evaluate, len(held_out or ()), False, encoded.fingerprint)

    def _yardstick(self, targets: RaggedRows, held_out: Sequence[tuple[str, str]]) -> Yardstick:
        """The frequency of each symbol of the targets."""
        tokenizer = self.tokenizers_["tokenizer"]
        train_ids = np.concatenate([targets[i] for i in sample(range(len(targets)))])
        held_out_ids = np.concatenate(self._encode([target for _, target in sample(held_out)], tokenizer))
        return symbol_frequencies(train_ids, held_out_ids, len(tokenizer))

    def _learn(self, examples: Iterable[tuple[str, str]]) -> Vocabulary:
        rule = self._chosen_for(DataFacts(self.task, "text", 1, 1.0)).get("vocabulary_size")  # for data of any size
        size = self.vocabulary_size or rule
        facts: dict[str, Any] = {"examples": 0, "words": 0}
        kind, pairs = self.effective_settings.tokenizer, iter(examples)
        if kind is None:  # of data for a cache
            first = list(islice(pairs, READ_FIRST))
            facts["word_facts"], pairs = self._word_facts(first), chain(first, pairs)
            kind = self._tokenizer_kind(len(first), facts["word_facts"])

        def targets(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
            for _, target in pairs:
                facts["examples"] += 1
                facts["words"] += target.count(" ") + 1
                yield target

        if self.source_tokenizer is None:
            counted = targets(examples)
            tokenizers = {"tokenizer": _trained(kind, chain((source for source, _ in pairs), counted), size)}
        else:
            counted = targets(pairs)
            tokenizers = {"tokenizer": _trained(kind, counted, size)}
        deque(counted, maxlen=0)  # of a tokenizer that needs no texts
        if self.source_tokenizer is not None:
            tokenizers["source_tokenizer"] = _trained(self.source_tokenizer, (source for source, _ in examples), size)
        return Vocabulary(tokenizers, None, facts)

    def _word_facts(self, pairs: Sequence[tuple[str, str]]) -> WordFacts | None:
        """About the words of the side of pairs with more unknown ones, with a source tokenizer of the targets. None if
        the tokenizer or the size of its vocabulary is set, word vectors need words, or a side has no spaces between
        words: byte-pair encoding finds words there (4,000 English-Japanese pairs: 15.2 BLEU, characters 8.7)."""
        if not pairs or any(value is not None for value in (self.tokenizer, self.vocabulary_size, self.embeddings)):
            return None
        sources, targets = zip(*pairs, strict=True)
        sides = (targets,) if self.source_tokenizer is not None else (sources, targets)
        if any(tokenizer_for("\n".join(side))[1] for side in sides):
            return None
        return max(word_facts(side, lowercase=False) for side in sides)

    def _encode_examples(
        self, examples: Iterable[tuple[str, str]], vocabulary: Vocabulary
    ) -> Iterator[dict[str, Column]]:
        tokenizers = {"sources": self._source_tokenizer, "targets": self.tokenizers_["tokenizer"]}
        for portion in in_portions(examples):
            texts = zip(*portion, strict=True)
            yield {
                name: RaggedRows.of(self._encode(side, tokenizer), smallest_dtype(len(tokenizer)))
                for side, (name, tokenizer) in zip(texts, tokenizers.items(), strict=True)
            }

    def _cached_data(self, examples: EncodedExamples, held_out: list[tuple[str, str]]) -> TrainingData:
        facts = examples.vocabulary.facts
        words = facts.get("word_facts")
        self._choose_settings("text", facts["examples"], facts["words"], words=words and WordFacts(*words))
        return cached_parts(examples, held_out, facts["examples"])

    def _make_layers(self) -> tuple[Any, Any]:
        """The encoder, and the decoder's layer with its attention."""
        size, hidden_size = self.effective_settings.embedding_size, self.effective_settings.hidden_size
        self._check_input_feeding()
        encoder = self._layer(size, max(1, hidden_size // 2), bidirectional=True)
        input_size = size + hidden_size if self.input_feeding else size
        memory_size = encoder.output_size if self.attention == "cross" else 0
        layer: Any = self._layer(input_size, hidden_size, causal=True, memory_size=memory_size)
        if self.attention not in ("none", "cross"):
            try:
                layer = AttentiveDecoder(
                    layer, encoder.output_size, max(1, hidden_size // 2), self.input_feeding, self.attention
                )
            except ValueError as error:
                raise SettingsError(f"attention={self.attention!r}: {error}") from None
        return encoder, layer

    def _make_model(self) -> ConditionedGenerator:
        settings, (encoder, layer) = self.effective_settings, self._make_layers()
        size, source_tokenizer = settings.embedding_size, self.tokenizers_.get("source_tokenizer")
        noise: dict[str, Any] = {"dropout": self._input_dropout, "embedding_dropout": self.embedding_dropout}
        source_embedding = None if source_tokenizer is None else Embedding(len(source_tokenizer), size, **noise)
        generator = Generator(
            Embedding(len(self.tokenizers_["tokenizer"]), size, **noise),
            layer,
            tie_weights=True,
            dropout=settings.dropout,
            label_smoothing=self.label_smoothing,
        )
        return ConditionedGenerator(source_embedding, encoder, generator)

    def _check_input_feeding(self) -> None:
        if self.input_feeding and self.attention in ("none", "cross"):
            raise SettingsError(
                f"attention: expected 'additive', 'dot' or 'general' with input_feeding, got {self.attention!r}"
            )
        if self.input_feeding and self.weight_drop:
            raise SettingsError(
                f"weight_drop: expected 0 with input_feeding, got {self.weight_drop}; it needs whole scans, but input "
                "feeding goes step by step"
            )

    def _batches(self, encoded: EncodedExamples, settings: TrainingOptions) -> Buckets:
        sources, targets = encoded.columns["sources"], encoded.columns["targets"]
        begin = self.tokenizers_["tokenizer"].begin

        def collate(indices: np.ndarray) -> TrainingBatch:
            ids = targets.padded(indices)
            source, target, previous = map(to_sequences, (sources.padded(indices), ids, _delayed(ids, begin)))
            tokens = int(source.lengths.sum() + target.lengths.sum())
            return TrainingBatch(
                (source, previous), target, len(indices), tokens, source.data.numel() + target.data.numel()
            )

        # Sorted by the target's length first: the decoder costs more than the encoder.
        order = _PairLengths(targets.lengths, sources.lengths, target_weight=1000, most=999)
        return Buckets(order, settings, collate, _PairLengths(targets.lengths, sources.lengths), encoded.scratch)

    def _evaluate(self, pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
        """The validation loss in nats per target symbol."""
        settings = self.training_options()
        batches = self._batches(in_memory(self._encode_examples(pairs, Vocabulary({})), Vocabulary({})), settings)
        max_items = min(PLACES, SCORES // len(self.tokenizers_["tokenizer"]))

        def losses(groups: list[Any]) -> list[tuple[float, int]]:
            moved = (batches.collate(indices).to(settings.device) for indices in groups)
            results = (self.model_.loss(batch.inputs, batch.targets) for batch in moved)
            return [(loss.total.item(), loss.items) for loss in results]

        sizes = batches.item_counts[np.arange(len(pairs))].tolist()
        groups = list(by_length(sizes, settings.batch_size, max_items))
        totals, counts = zip(*join(settings).map(losses, groups), strict=True)
        return {"nats": sum(totals) / sum(counts)}


class _PairLengths:
    """Lengths of pairs.

    Args:
        targets, sources: the lengths of the two sides.
        target_weight: what a symbol of a target counts.
        most: what the length of a source counts at most; None: all of it.
    """

    def __init__(self, targets: Lengths, sources: Lengths, target_weight: int = 1, most: int | None = None) -> None:
        self.targets, self.sources, self.target_weight, self.most = targets, sources, target_weight, most

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        sources = self.sources[indices]
        if self.most is not None:
            sources = np.minimum(sources, self.most)
        return self.targets[indices] * self.target_weight + sources


def _delayed(targets: Batch, begin: int) -> Batch:
    """What precedes each symbol of targets, which have at least one each."""
    previous = np.zeros_like(targets.data)
    previous[:, 0], previous[:, 1:] = begin, targets.data[:, :-1]
    return Batch(previous * targets.mask, targets.lengths, zeroed=True)


def _trained(kind: str, texts: Iterable[str], size: int | None) -> TextTokenizer:
    return TextTokenizer.train(kind, texts, vocabulary_size=size)
