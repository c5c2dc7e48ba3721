"""Translator: a conditioned generator of text, from a text in one language to a text in another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from stepscan.backends.batches import PLACES, SCORES, by_length, enough_memory_for
from stepscan.data.example_checks import checked_texts, make_pairs
from stepscan.decoding import (
    Hypothesis,
    StepFunction,
    beam_search,
    checked_whole,
    with_coverage_penalty,
    with_minimum_length,
    without_tokens,
)
from stepscan.errors import SettingsError
from stepscan.evaluation.bleu import bleu
from stepscan.evaluation.error_rates import symbol_error_rate, text_error_rate
from stepscan.evaluation.yardstick import Yardstick
from stepscan.memory import check_fits
from stepscan.models.model import FittedModel, RuntimeModel
from stepscan.models.symbol_scores import total_nats
from stepscan.options import N_BEST, SearchOptions, check_settings, check_value, settings_of
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer

_BATCH_SIZE = 32  # texts per batch, at most
_BYTES_PER_SCORE = 32  # in float32, in float64 and sorted


class Translation(NamedTuple):
    """One of the n best translations of a text."""

    text: str
    log_probability: float  # natural logarithm
    score: float  # the ranking score: after length and coverage penalties


class SearchLimits(NamedTuple):
    """Limits of a beam search."""

    n_best: int  # translations per source
    minimum: int  # symbols
    maximum: int | None  # symbols; None: by the source's length
    prefix_ids: list[int]  # ids that each translation begins with


class TranslationMixin(SearchOptions, FittedModel):
    """Methods of a fitted translator, which uses beam search: see `stepscan.options.SearchOptions`."""

    task: ClassVar[str] = "translate"

    def predict(self, sources: Sequence[str]) -> list[str]:
        """The best translation of each text, by beam search."""
        return [best[0].text for best in self.translate(sources)]

    def predict_records(self, sources: Sequence[str], *, n_best: int = 1, **limits: Any) -> list[dict[str, Any]]:
        """The output of `stepscan predict` for each text: `translation`, `score`, and with `n_best` above 1 the list
        `n_best`; `limits` are arguments of `translate`."""
        rows = []
        for best in self.translate(sources, n_best=n_best, **limits):
            row: dict[str, Any] = {"translation": best[0].text, "score": best[0].score}
            rows.append(row | ({"n_best": [translation._asdict() for translation in best]} if n_best > 1 else {}))
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
        """The `n_best` translations of each text, best first.

        Args:
            sources: the texts.
            n_best: number of translations per text.
            minimum_length: minimum length, in symbols.
            maximum_length: maximum length, in symbols, where a translation is cut off; None: twice the source's
                and 20.
            prefix: text that every translation begins with; it counts neither in the length nor in the
                log-probability.

        Raises:
            SettingsError: an argument is out of range, or a coverage penalty is set on a model without attention.
            SettingsError: one beam does not fit into memory.
        """
        self._check_usable()
        check_settings(SearchOptions, {name: getattr(self, name) for name in settings_of(SearchOptions)})
        check_value(N_BEST, "n_best", n_best)
        tokenizer = self.tokenizers_["tokenizer"]
        ids = self._encode(checked_texts(sources), self._source_tokenizer)
        prefix_ids = tokenizer.encode(checked_texts([prefix], "prefix")[0])
        limits = SearchLimits(n_best, checked_whole(minimum_length, "minimum_length"), maximum_length, prefix_ids)
        if maximum_length is not None:
            checked_whole(maximum_length, "maximum_length", 1)
        translations: list[list[Translation]] = [[] for _ in ids]
        for indices in self._plan_batches([len(row) for row in ids], limits):
            with enough_memory_for([len(ids[i]) for i in indices], "text"):
                searched = self._translate_batch([ids[i] for i in indices], limits)
            for index, hypotheses in zip(indices, searched, strict=True):
                translations[index] = [
                    Translation(tokenizer.decode([*prefix_ids, *h.tokens]), h.log_probability, h.score)
                    for h in hypotheses
                ]
        return translations

    def log_probabilities(self, sources: Sequence[str], targets: Sequence[str]) -> list[tuple[float, int]]:
        """For each target, the natural logarithm of its probability given its source, and its number of symbols, the
        end symbol included."""
        self._check_usable()
        network, target_tokenizer, results = self.network_, self.tokenizers_["tokenizer"], []
        for source, target in make_pairs(checked_texts(sources), checked_texts(targets), ("sources", "targets")):
            source_ids, ids = (
                self._encode([source], self._source_tokenizer),
                self._encode([target], target_tokenizer)[0],
            )
            previous, total = [target_tokenizer.begin, *ids[:-1]], 0.0
            steps = SCORES // max(len(target_tokenizer), len(source_ids[0])) or 1
            with enough_memory_for([len(source_ids[0])], "text"):
                state = network.encode_rows(source_ids)
                for t in range(0, len(ids), steps):
                    pieces = [previous[t : t + steps]], [ids[t : t + steps]]
                    loss, state = total_nats(network.generator, *pieces, state)
                    total += loss
            results.append((-total, len(ids)))
        return results

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> float:
        """BLEU (Papineni et al. 2002) by sacrebleu, 0 … 100: greater is better."""
        return self.metrics(sources, targets)["bleu"]

    def metrics(
        self, sources: Sequence[str], targets: Sequence[str], bleu_tokenize: str | None = None
    ) -> dict[str, Any]:
        """BLEU (Papineni et al. 2002) and chrF (Popović 2015), sacreBLEU's signature of BLEU, and error rates in %.

        `error_rate` is the share of texts that are not exactly right (for words to phones: the word error rate), and
        `symbol_error_rate` the edits from the predictions to the targets per symbol of the target's tokenizer.

        Args:
            sources: the source texts.
            targets: the reference translations.
            bleu_tokenize: sacreBLEU's tokenizer for BLEU (`13a`, `zh`, `ja-mecab`, `char`, …); None: by the targets'
                script.
        """
        from sacrebleu.metrics import CHRF

        texts, true = (list(side) for side in zip(*make_text_pairs(sources, targets, "sources"), strict=True))
        predicted = self.predict(texts)
        symbols = [self.tokenizers_["tokenizer"].encode_batch(texts) for texts in (predicted, true)]
        score, signature = bleu(predicted, true, bleu_tokenize)
        scores = {
            "bleu": score,
            "chrf": CHRF().corpus_score(predicted, [true]).score,
            "error_rate": text_error_rate(predicted, true),
            "symbol_error_rate": symbol_error_rate(*symbols),
        }
        return {**scores, "signature": signature, "texts": len(predicted)}

    def yardstick(self, sources: Sequence[str], targets: Sequence[str], bleu_tokenize: str | None = None) -> Yardstick:
        """The score of the sources as translations of themselves."""
        texts, true = (list(side) for side in zip(*make_text_pairs(sources, targets, "sources"), strict=True))
        scores = {"bleu": bleu(texts, true, bleu_tokenize)[0], "error_rate": text_error_rate(texts, true)}
        return Yardstick("copy of the source", scores)

    def network_inputs(self, X: Sequence[str]) -> list[list[int]]:
        """The encoder's inputs: for each source text its ids `[S]`, the end symbol included."""
        return self._encode(checked_texts(X), self._source_tokenizer)

    def attention_weights(self, source: str, target: str) -> tuple[list[str], list[str], np.ndarray]:
        """Attention weights under teacher forcing with `target`: source symbols (S), target symbols (T), weights
        `[T, S]`.

        Raises:
            SettingsError: the model has no attention.
        """
        self._check_usable()
        network, source_tokenizer, target_tokenizer = (
            self.network_,
            self._source_tokenizer,
            self.tokenizers_["tokenizer"],
        )
        checked_texts([source], "source"), checked_texts([target], "target")
        source_ids, target_ids = (
            self._encode([source], source_tokenizer)[0],
            self._encode([target], target_tokenizer)[0],
        )
        state, weights = network.encode_rows([source_ids]), []
        for token in [target_tokenizer.begin, *target_ids[:-1]]:
            _, state = network.generator.array_step(np.array([token]), state)
            row = network.attention_weights(state)
            if row is None:
                raise SettingsError("expected a model with attention, got one without; train with attention='additive'")
            weights.append(row[0])
        source_symbols = [source_tokenizer.tokens[i] for i in source_ids]
        return source_symbols, [target_tokenizer.tokens[i] for i in target_ids], np.stack(weights)

    @property
    def _source_tokenizer(self) -> TextTokenizer:
        return self.tokenizers_.get("source_tokenizer", self.tokenizers_["tokenizer"])

    def _plan_batches(self, lengths: Sequence[int], limits: SearchLimits) -> list[np.ndarray]:
        """The indices of the sources of each batch, such that the scores of all hypotheses fit into memory.

        Raises:
            SettingsError: one beam does not fit into memory.
        """
        width, symbols = max(self.beam_width, limits.n_best), len(self.tokenizers_["tokenizer"])
        advice = "use a smaller n_best or beam_width"
        check_fits(_BYTES_PER_SCORE * width * symbols, f"{width:,} hypotheses over {symbols:,} symbols", advice)
        check_fits(
            _BYTES_PER_SCORE * width * limits.minimum,
            f"{width:,} hypotheses of {limits.minimum:,} symbols",
            "use a smaller minimum_length",
        )
        return by_length(lengths, max(1, min(_BATCH_SIZE, SCORES // (width * symbols))), PLACES // width)

    def _encode(self, texts: Sequence[str], tokenizer: TextTokenizer) -> list[list[int]]:
        return [[*ids, tokenizer.end] for ids in tokenizer.encode_batch(list(texts))]

    def _translate_batch(self, rows: Sequence[list[int]], limits: SearchLimits) -> list[list[Hypothesis]]:
        """The hypotheses for each source, best first, without the prefix."""
        minimum, maximum = limits.minimum, limits.maximum
        if maximum is not None and maximum < minimum:
            raise SettingsError(f"maximum_length: expected at least the minimum, {minimum}, got {maximum}")
        tokenizer, network = self.tokenizers_["tokenizer"], self.stepping_network
        step: StepFunction = network.generator.array_step
        state, bonus = network.encode_rows(rows), None
        attention = _attention_function(network)
        if minimum:
            step, state = with_minimum_length(step, state, len(rows), tokenizer.end, minimum + len(limits.prefix_ids))
            attention = _attention_function(network, lambda state: state.inner)
        if self.coverage_penalty:
            lengths = np.array([len(row) for row in rows])
            step, state, bonus = with_coverage_penalty(step, state, attention, lengths, self.coverage_penalty)
        prefix_ids = [tokenizer.begin, *limits.prefix_ids]
        for token in prefix_ids[:-1]:
            _, state = step(np.full(len(rows), token), state)
        return beam_search(
            without_tokens(step, [tokenizer.pad, tokenizer.unknown, tokenizer.begin]),
            state,
            np.full(len(rows), prefix_ids[-1]),
            width=max(self.beam_width, limits.n_best),
            stop=tokenizer.end,
            maximum_length=[max(default_length(row), minimum + 1) if maximum is None else maximum for row in rows],
            length_penalty=self.length_penalty,
            bonus=bonus,
            n_best=limits.n_best,
        )


@dataclass(kw_only=True, eq=False, repr=False)
class Translator(TranslationMixin, RuntimeModel):
    """Translates a text with an encoder and a decoder, which may attend to the encoder's outputs."""


def default_length(source: Sequence[int]) -> int:
    """The maximum length of a translation of a source's ids, in symbols: twice as many, and 20."""
    return 2 * len(source) + 20


def make_text_pairs(sources: Sequence[str], targets: Sequence[str], what: str) -> list[tuple[str, str]]:
    """Pairs of a source and its target, checked to be strings and equally many."""
    return make_pairs(checked_texts(sources, "source"), checked_texts(targets, "target"), (what, "targets"))


def _attention_function(
    network: Any, inner: Callable[[Any], State] = lambda state: state
) -> Callable[[State], np.ndarray]:
    """A function from a state to the decoder's last attention weights `[N, S]`; `inner` gets the network's state."""

    def attention(state: State) -> np.ndarray:
        weights = network.attention_weights(inner(state))
        if weights is None:
            raise SettingsError("coverage_penalty: expected a model with attention, got one without; set it to 0")
        return weights

    return attention
