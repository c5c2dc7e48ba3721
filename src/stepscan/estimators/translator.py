"""Translator: a conditioned generator that maps a text in one language to a text in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from stepscan.backends.batches import PLACES, SCORES, by_length
from stepscan.data.batching import TrainingBatch, pad
from stepscan.data.example_checks import validation_pair
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.data_split import hold_out, same_input
from stepscan.estimators.training_data import Buckets, TrainingData, make_task
from stepscan.estimators.yardsticks import sample, symbol_frequencies
from stepscan.evaluation.yardstick import Yardstick
from stepscan.models.translator import TranslationMixin, make_text_pairs
from stepscan.options import TrainingOptions, TranslateOptions
from stepscan.patterns.attention import AttentiveDecoder
from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.processes.joining import join
from stepscan.training.loop import Task


class Translator(TranslationMixin, TranslateOptions, Estimator):
    """Translates texts: an encoder reads the source, and a decoder with attention generates the target."""

    pattern: ClassVar[type] = ConditionedGenerator

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
        self._choose_settings("text", len(train), items)
        together = [*train, *held_out]
        return TrainingData([(train, held_out)], valid is not None, len(together), lambda: together)

    def _prepare(
        self, train: list[tuple[str, str]], held_out: list[tuple[str, str]] | None, settings: TrainingOptions
    ) -> Task:
        """A new model and its training task."""
        self.tokenizers_, self.labels_ = self._with_word_vectors(self._tokenizers(train)), None
        self.model_ = self._build_model(max_length=lambda: self._max_steps(train)).to(settings.device)
        batches = self._batches(train, settings)
        if held_out is not None:
            self.yardstick_ = self._yardstick(train, held_out).to_dict()
        evaluate = None if held_out is None else lambda: self._evaluate(held_out)
        return make_task(self.model_, batches, evaluate, len(held_out or ()), greater_is_better=False)

    def _yardstick(self, train: Sequence[tuple[str, str]], held_out: Sequence[tuple[str, str]]) -> Yardstick:
        """The frequency of each symbol of the targets."""
        tokenizer = self.tokenizers_["tokenizer"]
        rows = (self._encode([target for _, target in sample(pairs)], tokenizer) for pairs in (train, held_out))
        train_ids, held_out_ids = (np.concatenate(ids) for ids in rows)
        return symbol_frequencies(train_ids, held_out_ids, len(tokenizer))

    def _max_steps(self, pairs: Sequence[tuple[str, str]]) -> int:
        """Symbols of the longest source or target."""
        sources, targets = zip(*pairs, strict=True)
        rows = self._encode(sources, self._source_tokenizer) + self._encode(targets, self.tokenizers_["tokenizer"])
        return max(map(len, rows))

    def _tokenizers(self, pairs: Sequence[tuple[str, str]]) -> dict[str, TextTokenizer]:
        sources, targets = zip(*pairs, strict=True)
        size = self.effective_settings.vocabulary_size
        if self.source_tokenizer is None:
            return {"tokenizer": TextTokenizer.train(self.tokenizer, sources + targets, vocabulary_size=size)}
        return {
            "tokenizer": TextTokenizer.train(self.tokenizer, targets, vocabulary_size=size),
            "source_tokenizer": TextTokenizer.train(self.source_tokenizer, sources, vocabulary_size=size),
        }

    def _make_model(self) -> ConditionedGenerator:
        settings = self.effective_settings
        size, hidden_size = settings.embedding_size, settings.hidden_size
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
        source_tokenizer = self.tokenizers_.get("source_tokenizer")
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

    def _batches(self, pairs: Sequence[tuple[str, str]], settings: TrainingOptions) -> Buckets:
        tokenizer = self.tokenizers_["tokenizer"]
        sources = self._encode([source for source, _ in pairs], self._source_tokenizer)
        targets = self._encode([target for _, target in pairs], tokenizer)

        def collate(indices: np.ndarray) -> TrainingBatch:
            source, target = pad([sources[i] for i in indices]), pad([targets[i] for i in indices])
            previous = pad([[tokenizer.begin, *targets[i][:-1]] for i in indices])
            tokens = int(source.lengths.sum() + target.lengths.sum())
            return TrainingBatch(
                (source, previous), target, len(indices), tokens, source.data.numel() + target.data.numel()
            )

        # Sorted by the target's length first: the decoder costs more than the encoder.
        lengths = [len(t) * 1000 + min(len(s), 999) for s, t in zip(sources, targets, strict=True)]
        sizes = [len(s) + len(t) for s, t in zip(sources, targets, strict=True)]
        return Buckets(lengths, settings, collate, sizes)

    def _evaluate(self, pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
        """The validation loss in nats per target symbol."""
        settings = self.training_options()
        batches = self._batches(pairs, settings)
        max_items = min(PLACES, SCORES // len(self.tokenizers_["tokenizer"]))

        def losses(groups: list[Any]) -> list[tuple[float, int]]:
            moved = (batches.collate(indices).to(settings.device) for indices in groups)
            results = (self.model_.loss(batch.inputs, batch.targets) for batch in moved)
            return [(loss.total.item(), loss.items) for loss in results]

        groups = list(by_length(batches.sizes, settings.batch_size, max_items))
        totals, counts = zip(*join(settings).map(losses, groups), strict=True)
        return {"nats": sum(totals) / sum(counts)}
