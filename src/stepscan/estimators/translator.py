"""Translator: a conditioned generator over text, from a text in one language to a text in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch

from stepscan.data.batching import Batch, by_length, pad
from stepscan.data.tokenizers import TextTokenizer
from stepscan.decoding import Hypothesis, Step, at_least, beam_search, covering, forbidding
from stepscan.errors import SettingsError
from stepscan.estimators.base import Estimator
from stepscan.estimators.error_rates import symbol_error_rate, text_error_rate
from stepscan.estimators.examples import Buckets, checked_texts, hold_out, paired
from stepscan.patterns.attention import AttentiveDecoder, looks
from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.training.loop import Task
from stepscan.training.settings import TrainingSettings


class Translation(NamedTuple):
    """One of the n best translations of a text."""

    text: str
    log_probability: float  # natural logarithm
    score: float  # what it is ranked by: after the penalties of length and coverage


@dataclass(kw_only=True, eq=False, repr=False)
class Translator(Estimator):
    """Translates: an encoder reads the source, a decoder writes the target, looking back through attention.

    Args:
        cell: recurrent cell of encoder and decoder, such as `lstm`, `gru`, `elman`.
        layers: cells one above the other, in both.
        hidden_size: of the decoder; the encoder, which reads in both directions, has half of it each.
        embedding_size: numbers a symbol; one matrix for source, target and output, unless `source_tokenizer` is set.
        attention: `additive` (Bahdanau et al. 2015), `dot` or `general` (Luong et al. 2015), once above
            the decoder; `cross` (Vaswani et al. 2017), after each of its cells; or `none`.
        input_feeding: whether what the decoder said last joins its next input (Luong et al. 2015); slower.
        dropout: probability, on embeddings, between layers and before the output.
        label_smoothing: share of the target's probability spread over the vocabulary in training.
        tokenizer: `bpe`, `word`, `whitespace`, `character` or `byte`; one for both languages.
        source_tokenizer: the source's, where it is written in other symbols (letters → phones). Then `tokenizer` is the
            target's, each side has a vocabulary and a matrix of its own, and the output shares the target's.
        vocabulary_size: symbols at most, of each vocabulary.
        beam_width, length_penalty: of the beam search in `predict` and `score` (Wu et al. 2016, eq. 14).
        coverage_penalty: likewise; above 0, translations that leave words of the source unread rank lower.
        epochs … device: see `Estimator`.
    """

    task: ClassVar[str] = "translate"
    pattern: ClassVar[type] = ConditionedGenerator

    cell: str = "lstm"
    layers: int = 1
    hidden_size: int = 256
    embedding_size: int = 256
    attention: str = "additive"
    input_feeding: bool = False
    dropout: float = 0.3
    label_smoothing: float = 0.1
    tokenizer: str = "bpe"
    source_tokenizer: str | None = None
    vocabulary_size: int = 4000
    beam_width: int = 5
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 3e-3
    patience: int = 4

    def fit(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        validation: tuple[Sequence[str], Sequence[str]] | None = None,
    ) -> Self:
        """Learn from texts and their translations; judged on `validation`, or on the last tenth held out."""
        with self._fitting() as settings:
            pairs = _pairs(sources, targets, "sources")
            valid = None if validation is None else _pairs(*validation, "validation sources")
            train, held_out = hold_out(pairs, valid, self.verbose)
            self.tokenizers_, self.labels_ = self._tokenizers(train), None
            self.model_ = self._built().to(settings.device)
            batches = self._batches(train, settings)
            self._train(settings, Task(self.model_, batches, len(batches), lambda: self._evaluate(held_out), False))
        return self

    def predict(self, sources: Sequence[str]) -> list[str]:
        """The best translation of each text, by beam search."""
        return [best[0].text for best in self.translate(sources)]

    def answers(self, sources: Sequence[str], *, n_best: int = 1, **limits: Any) -> list[dict[str, Any]]:
        """What `stepscan predict` says of each text: `translation`, `score`, and `n_best` of them if more than one;
        `limits` as of `translate`."""
        rows = []
        for best in self.translate(sources, n_best=n_best, **limits):
            row: dict[str, Any] = {"translation": best[0].text, "score": best[0].score}
            rows.append(row | ({"n_best": [one._asdict() for one in best]} if n_best > 1 else {}))
        return rows

    def translate(
        self,
        sources: Sequence[str],
        *,
        n_best: int = 1,
        minimum_length: int = 0,
        maximum_length: int | None = None,
        prefix: str = "",
    ) -> list[list[Translation]]:
        """The `n_best` translations of each text, best first, of at least and at most so many symbols.

        Without a maximum it is twice the source's symbols and 20; one that is cut off there is given as it is. Each
        begins with `prefix`, which counts neither as symbols nor in the log-probability.
        """
        self._check_fitted()
        tokenizer = self.tokenizers_["tokenizer"]
        ids = self._encode(checked_texts(sources), self._source_tokenizer)
        begun = tokenizer.encode(checked_texts([prefix], "prefix")[0])
        found: list[list[Translation]] = [[] for _ in ids]
        width = max(self.beam_width, n_best)
        for chosen in by_length([len(row) for row in ids], 32):
            rows = [ids[i] for i in chosen]
            several = self._decode(rows, width, n_best, minimum_length, maximum_length, begun)
            for index, hypotheses in zip(chosen, several, strict=True):
                found[index] = [
                    Translation(tokenizer.decode([*begun, *h.tokens]), h.log_probability, h.score) for h in hypotheses
                ]
        return found

    @torch.inference_mode()
    def log_probabilities(self, sources: Sequence[str], targets: Sequence[str]) -> list[tuple[float, int]]:
        """Of each target, given its source: the natural logarithm of its probability, and how many symbols it has, its
        end among them."""
        self._check_fitted()
        writer, found = self.tokenizers_["tokenizer"], []
        pairs = paired(checked_texts(sources), checked_texts(targets), ("sources", "targets"))
        for source, target in pairs:
            read, ids = self._encode([source], self._source_tokenizer)[0], self._encode([target], writer)[0]
            inputs = [pad([row]).to(self._device) for row in (read, [writer.begin, *ids[:-1]])]
            loss = self.model_.loss(tuple(inputs), pad([ids]).to(self._device))
            found.append((-loss.total.item(), len(ids)))
        return found

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> float:
        """BLEU (Papineni et al. 2002) by sacrebleu, 0 … 100: greater is better."""
        return self.metrics(sources, targets)["bleu"]

    def metrics(self, sources: Sequence[str], targets: Sequence[str]) -> dict[str, Any]:
        """BLEU (Papineni et al. 2002) and chrF (Popović 2015), sacrebleu's signature of BLEU, and errors in %.

        `error_rate` is the share of texts that are not exactly right (of words to phones: the word error rate), and
        `symbol_error_rate` the edits from what was found to what is true, a symbol of the target's tokenizer.
        """
        from sacrebleu.metrics import BLEU, CHRF

        true = [target for _, target in _pairs(sources, targets, "sources")]
        found, bleu = self.predict(sources), BLEU()
        symbols = [self.tokenizers_["tokenizer"].encode_batch(texts) for texts in (found, true)]
        scores = {
            "bleu": bleu.corpus_score(found, [true]).score,
            "chrf": CHRF().corpus_score(found, [true]).score,
            "error_rate": text_error_rate(found, true),
            "symbol_error_rate": symbol_error_rate(*symbols),
        }
        return {**scores, "signature": str(bleu.get_signature()), "texts": len(found)}

    def attention_weights(self, source: str, target: str) -> tuple[list[str], list[str], np.ndarray]:
        """Where the decoder looks while writing `target`: source symbols (S), target symbols (T), weights `[T, S]`."""
        self._check_fitted()
        reader, writer = self._source_tokenizer, self.tokenizers_["tokenizer"]
        read, written = self._encode([source], reader)[0], self._encode([target], writer)[0]
        source_ids, target_ids = pad([read]), pad([[writer.begin, *written[:-1]]])
        weights = self.model_.attention(source_ids.to(self._device), target_ids.to(self._device))
        return [reader.tokens[i] for i in read], [writer.tokens[i] for i in written], weights[0].cpu().numpy()

    @property
    def _source_tokenizer(self) -> TextTokenizer:
        return self.tokenizers_.get("source_tokenizer", self.tokenizers_["tokenizer"])

    def _tokenizers(self, pairs: Sequence[tuple[str, str]]) -> dict[str, TextTokenizer]:
        sources, targets = zip(*pairs, strict=True)
        size = self.vocabulary_size
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
        size, hidden = self.embedding_size, self.hidden_size
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
        own = self.tokenizers_.get("source_tokenizer")
        noise: dict[str, Any] = {"dropout": self._input_dropout, "symbol_dropout": self.embedding_dropout}
        of_source = None if own is None else Embedding(len(own), size, **noise)
        generator = Generator(
            Embedding(len(self.tokenizers_["tokenizer"]), size, **noise),
            layer,
            tied=True,
            dropout=self.dropout,
            label_smoothing=self.label_smoothing,
        )
        return ConditionedGenerator(of_source, encoder, generator)

    def _encode(self, texts: Sequence[str], tokenizer: TextTokenizer) -> list[list[int]]:
        return [[*ids, tokenizer.end] for ids in tokenizer.encode_batch(list(texts))]

    def _batches(self, pairs: Sequence[tuple[str, str]], settings: TrainingSettings) -> Buckets:
        writer = self.tokenizers_["tokenizer"]
        begin = writer.begin
        sources = self._encode([s for s, _ in pairs], self._source_tokenizer)
        targets = self._encode([t for _, t in pairs], writer)

        def collate(chosen: np.ndarray) -> Batch:
            source, target = pad([sources[i] for i in chosen]), pad([targets[i] for i in chosen])
            previous = pad([[begin, *targets[i][:-1]] for i in chosen])
            tokens = int(source.lengths.sum() + target.lengths.sum())
            return Batch((source, previous), target, len(chosen), tokens, source.data.numel() + target.data.numel())

        # By the target's length first: the decoder costs more than the encoder.
        lengths = [len(t) * 1000 + min(len(s), 999) for s, t in zip(sources, targets, strict=True)]
        sizes = [len(s) + len(t) for s, t in zip(sources, targets, strict=True)]
        return Buckets(lengths, settings, collate, sizes)

    def _evaluate(self, pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
        settings = self._settings()
        batches = self._batches(pairs, settings)
        total, count = 0.0, 0
        for batch in batches(0):
            batch = batch.to(settings.device)
            loss = self.model_.loss(batch.inputs, batch.targets)
            total, count = total + loss.total.item(), count + loss.items
        return {"nats": total / count}

    @torch.inference_mode()
    def _decode(
        self,
        rows: Sequence[list[int]],
        width: int,
        n_best: int,
        minimum: int,
        maximum: int | None,
        prefix: Sequence[int],
    ) -> list[list[Hypothesis]]:
        if maximum is not None and maximum < max(minimum, 1):
            raise SettingsError(f"maximum_length must be at least 1 and the minimum, {minimum}, but is {maximum}")
        tokenizer, source = self.tokenizers_["tokenizer"], pad(rows).to(self._device)
        step: Step = self.model_.generator.array_step
        state, bonus = self.model_.initial_state(source), None
        if minimum:
            step, state = at_least(step, state, len(rows), tokenizer.end, minimum + len(prefix))
        if self.coverage_penalty:
            step, state, bonus = covering(step, state, _look, source.lengths.cpu().numpy(), self.coverage_penalty)
        begun = [tokenizer.begin, *prefix]
        for token in begun[:-1]:
            _, state = step(np.full(len(rows), token), state)
        step = forbidding(step, [tokenizer.pad, tokenizer.unknown, tokenizer.begin])
        return beam_search(
            step,
            state,
            np.full(len(rows), begun[-1]),
            width=width,
            stop=tokenizer.end,
            maximum_length=[max(2 * len(row) + 20, minimum + 1) if maximum is None else maximum for row in rows],
            length_penalty=self.length_penalty,
            bonus=bonus,
            n_best=n_best,
        )


def _look(state: Any) -> np.ndarray:
    """Where the decoder looked last, `[N, S]`: the mean over all parts (and models of an ensemble) that look."""
    found = looks(state)
    if not found:
        raise SettingsError("a coverage penalty asks where attention looked, but this model has none")
    return np.mean([weights.cpu().numpy() for weights in found], axis=0)


def _pairs(sources: Sequence[str], targets: Sequence[str], what: str) -> list[tuple[str, str]]:
    return paired(checked_texts(sources, "source"), checked_texts(targets, "target"), (what, "targets"))
