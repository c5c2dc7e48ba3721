"""Translator: a conditioned generator over text, from a text in one language to a text in another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

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
from stepscan.memory import check_fits
from stepscan.options import N_BEST, SearchOptions, check_settings, check_value, settings_of
from stepscan.runtime.batches import PLACES, SCORES, answering, by_length
from stepscan.runtime.bleu import bleu
from stepscan.runtime.error_rates import symbol_error_rate, text_error_rate
from stepscan.runtime.examples import checked_texts, make_pairs
from stepscan.runtime.model import FittedModel, RuntimeModel
from stepscan.runtime.symbol_scores import total_nats
from stepscan.runtime.yardstick import Yardstick
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer

_TOGETHER = 32  # texts that are translated in one batch, at most
_OF_A_SCORE = 32  # bytes: in float32, in float64 and sorted


class Translation(NamedTuple):
    """One of the n best translations of a text."""

    text: str
    log_probability: float  # natural logarithm
    score: float  # what it is ranked by: after the penalties of length and coverage


class Limits(NamedTuple):
    """What translations are looked for."""

    n_best: int  # how many
    minimum: int  # symbols
    maximum: int | None  # symbols; None: by the source's length
    begun: list[int]  # how each begins


class TranslationMixin(SearchOptions, FittedModel):
    """What a translator does once it is trained, by beam search: see `stepscan.options.SearchOptions`."""

    task: ClassVar[str] = "translate"

    def predict(self, sources: Sequence[str]) -> list[str]:
        """The best translation of each text, by beam search."""
        return [best[0].text for best in self.translate(sources)]

    def predict_records(self, sources: Sequence[str], *, n_best: int = 1, **limits: Any) -> list[dict[str, Any]]:
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
        self._check_usable()
        check_settings(SearchOptions, {name: getattr(self, name) for name in settings_of(SearchOptions)})
        check_value(N_BEST, "n_best", n_best)
        tokenizer = self.tokenizers_["tokenizer"]
        ids = self._encode(checked_texts(sources), self._source_tokenizer)
        begun = tokenizer.encode(checked_texts([prefix], "prefix")[0])
        limits = Limits(n_best, checked_whole(minimum_length, "minimum_length"), maximum_length, begun)
        if maximum_length is not None:
            checked_whole(maximum_length, "maximum_length", 1)
        found: list[list[Translation]] = [[] for _ in ids]
        for chosen in self._together([len(row) for row in ids], limits):
            with answering([len(ids[i]) for i in chosen], "text"):
                several = self._decode([ids[i] for i in chosen], limits)
            for index, hypotheses in zip(chosen, several, strict=True):
                found[index] = [
                    Translation(tokenizer.decode([*begun, *h.tokens]), h.log_probability, h.score) for h in hypotheses
                ]
        return found

    def log_probabilities(self, sources: Sequence[str], targets: Sequence[str]) -> list[tuple[float, int]]:
        """Of each target, given its source: the natural logarithm of its probability, and how many symbols it has, its
        end among them."""
        self._check_usable()
        network, writer, found = self.network_, self.tokenizers_["tokenizer"], []
        for source, target in make_pairs(checked_texts(sources), checked_texts(targets), ("sources", "targets")):
            read, ids = self._encode([source], self._source_tokenizer), self._encode([target], writer)[0]
            previous, total, steps = [writer.begin, *ids[:-1]], 0.0, SCORES // max(len(writer), len(read[0])) or 1
            with answering([len(read[0])], "text"):
                state = network.initial_state(read)
                for t in range(0, len(ids), steps):
                    pieces = [previous[t : t + steps]], [ids[t : t + steps]]
                    lost, state = total_nats(network.generator, *pieces, state)
                    total += lost
            found.append((-total, len(ids)))
        return found

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> float:
        """BLEU (Papineni et al. 2002) by sacrebleu, 0 … 100: greater is better."""
        return self.metrics(sources, targets)["bleu"]

    def metrics(
        self, sources: Sequence[str], targets: Sequence[str], bleu_tokenize: str | None = None
    ) -> dict[str, Any]:
        """BLEU (Papineni et al. 2002) and chrF (Popović 2015), sacrebleu's signature of BLEU, and errors in %.

        `bleu_tokenize` is sacreBLEU's tokenizer for BLEU (`13a`, `zh`, `ja-mecab`, `char`, …); None chooses it by what
        the targets are written in.

        `error_rate` is the share of texts that are not exactly right (of words to phones: the word error rate), and
        `symbol_error_rate` the edits from what was found to what is true, a symbol of the target's tokenizer.
        """
        from sacrebleu.metrics import CHRF

        texts, true = (list(side) for side in zip(*pairs_of_texts(sources, targets, "sources"), strict=True))
        found = self.predict(texts)
        symbols = [self.tokenizers_["tokenizer"].encode_batch(texts) for texts in (found, true)]
        score, signature = bleu(found, true, bleu_tokenize)
        scores = {
            "bleu": score,
            "chrf": CHRF().corpus_score(found, [true]).score,
            "error_rate": text_error_rate(found, true),
            "symbol_error_rate": symbol_error_rate(*symbols),
        }
        return {**scores, "signature": signature, "texts": len(found)}

    def yardstick(self, sources: Sequence[str], targets: Sequence[str], bleu_tokenize: str | None = None) -> Yardstick:
        """What copying the sources scores."""
        texts, true = (list(side) for side in zip(*pairs_of_texts(sources, targets, "sources"), strict=True))
        scores = {"bleu": bleu(texts, true, bleu_tokenize)[0], "error_rate": text_error_rate(texts, true)}
        return Yardstick("copy of the source", scores)

    def network_inputs(self, X: Sequence[str]) -> list[list[int]]:
        """What the encoder reads: of each source text its ids `[S]`, the end symbol included."""
        return self._encode(checked_texts(X), self._source_tokenizer)

    def attention_weights(self, source: str, target: str) -> tuple[list[str], list[str], np.ndarray]:
        """Where the decoder looks while writing `target`: source symbols (S), target symbols (T), weights `[T, S]`.

        Raises:
            SettingsError: the model has no attention.
        """
        self._check_usable()
        network, reader, writer = self.network_, self._source_tokenizer, self.tokenizers_["tokenizer"]
        checked_texts([source], "source"), checked_texts([target], "target")
        read, written = self._encode([source], reader)[0], self._encode([target], writer)[0]
        state, weights = network.initial_state([read]), []
        for token in [writer.begin, *written[:-1]]:
            _, state = network.generator.step(np.array([token]), state)
            looked = network.looks(state)
            if looked is None:
                raise SettingsError("this model has no attention to show; train it with attention='additive'")
            weights.append(looked[0])
        return [reader.tokens[i] for i in read], [writer.tokens[i] for i in written], np.stack(weights)

    @property
    def _source_tokenizer(self) -> TextTokenizer:
        return self.tokenizers_.get("source_tokenizer", self.tokenizers_["tokenizer"])

    def _together(self, lengths: Sequence[int], limits: Limits) -> list[np.ndarray]:
        """Which sources are decoded in one batch: each has a beam of hypotheses, which looks at it and scores all
        symbols.

        Raises:
            SettingsError: one beam alone cannot fit into memory.
        """
        width, symbols = max(self.beam_width, limits.n_best), len(self.tokenizers_["tokenizer"])
        advice = "use a smaller n_best or beam_width"
        check_fits(_OF_A_SCORE * width * symbols, f"{width:,} hypotheses over {symbols:,} symbols", advice)
        check_fits(
            _OF_A_SCORE * width * limits.minimum,
            f"{width:,} hypotheses of {limits.minimum:,} symbols",
            "use a smaller minimum_length",
        )
        return by_length(lengths, max(1, min(_TOGETHER, SCORES // (width * symbols))), PLACES // width)

    def _encode(self, texts: Sequence[str], tokenizer: TextTokenizer) -> list[list[int]]:
        return [[*ids, tokenizer.end] for ids in tokenizer.encode_batch(list(texts))]

    def _decode(self, rows: Sequence[list[int]], limits: Limits) -> list[list[Hypothesis]]:
        """What follows on the beginning, for each source."""
        least, most = limits.minimum, limits.maximum
        if most is not None and most < least:
            raise SettingsError(f"maximum_length: expected at least the minimum, {least}, got {most}")
        tokenizer, network = self.tokenizers_["tokenizer"], self.network_
        step: StepFunction = network.generator.step
        state, bonus = network.initial_state(rows), None
        look = _looking(network)
        if least:
            step, state = with_minimum_length(step, state, len(rows), tokenizer.end, least + len(limits.begun))
            look = _looking(network, lambda state: state.inner)
        if self.coverage_penalty:
            lengths = np.array([len(row) for row in rows])
            step, state, bonus = with_coverage_penalty(step, state, look, lengths, self.coverage_penalty)
        begun = [tokenizer.begin, *limits.begun]
        for token in begun[:-1]:
            _, state = step(np.full(len(rows), token), state)
        return beam_search(
            without_tokens(step, [tokenizer.pad, tokenizer.unknown, tokenizer.begin]),
            state,
            np.full(len(rows), begun[-1]),
            width=max(self.beam_width, limits.n_best),
            stop=tokenizer.end,
            maximum_length=[max(2 * len(row) + 20, least + 1) if most is None else most for row in rows],
            length_penalty=self.length_penalty,
            bonus=bonus,
            n_best=limits.n_best,
        )


@dataclass(kw_only=True, eq=False, repr=False)
class Translator(TranslationMixin, RuntimeModel):
    """Translates: an encoder reads the source, a decoder writes the target, looking back through attention."""


def pairs_of_texts(sources: Sequence[str], targets: Sequence[str], what: str) -> list[tuple[str, str]]:
    """The sources, each with its target, checked."""
    return make_pairs(checked_texts(sources, "source"), checked_texts(targets, "target"), (what, "targets"))


def _looking(network: Any, inner: Callable[[Any], State] = lambda state: state) -> Callable[[State], np.ndarray]:
    """Where the decoder looked last, `[N, S]`, as a function of the state; `inner` is the network's own part of it."""

    def look(state: State) -> np.ndarray:
        found = network.looks(inner(state))
        if found is None:
            raise SettingsError("a coverage penalty asks where attention looked, but this model has none")
        return found

    return look
