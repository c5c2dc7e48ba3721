"""LanguageModel: a generator of text, which predicts the next symbol."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from stepscan.backends.batches import SCORES, by_length, enough_memory_for
from stepscan.backends.layers import NativeLayer
from stepscan.backends.probabilities import softmax
from stepscan.data.example_checks import as_list, as_texts, checked_texts
from stepscan.decoding import Sampler, checked_whole, row_generators, stream, with_repetition_penalty, without_tokens
from stepscan.definitions.generator import Generator
from stepscan.errors import SettingsError, nearest
from stepscan.memory import check_fits
from stepscan.models.model import FittedModel, RuntimeModel
from stepscan.models.stop_texts import StopTexts
from stepscan.models.symbol_scores import last_scores, total_nats
from stepscan.models.token_writer import TokenWriter
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer

_ROWS_TO_SCORE = 64  # rows that a long text is split into for scoring, at most …
_SHORTEST_ROW = 1000  # … of at least so many symbols each, so that few symbols lack their context
_STEPS_TO_SCORE = 256  # steps per batch, at most
_BATCH_SIZE = 64  # texts per batch, at most
_CHUNK = 2**13  # symbols generated at a time
_CHUNK_TO_STOP = 64  # likewise, with stop texts


class GenerationRequest(NamedTuple):
    """Arguments of a generation."""

    length: int  # symbols, at most
    sampler: Sampler
    seed: int | None
    excluded: Sequence[int]  # ids that are never generated
    repetition_penalty: float  # 1: no penalty
    chunk: int  # symbols generated at a time


class GenerationMixin(FittedModel):
    """Methods of a fitted language model."""

    task: ClassVar[str] = "generate"

    def score(self, text: str, y: None = None) -> float:
        """Minus the cross-entropy in nats per symbol: greater is better. Perplexity is `exp(-score)`.

        A text of 2,000 symbols or more is scored in up to 64 rows in parallel, each from the initial state: a lower
        bound.

        Raises:
            SettingsError: the text is empty.
        """
        nats, symbols = self._row_nats(text)
        return -nats / symbols

    def _row_nats(self, text: str, first: int = 0, every: int = 1) -> tuple[float, int]:
        """The loss, summed, of every k-th of the rows that a text is scored in, from a first one on; and the number of
        symbols of all rows."""
        self._check_usable()
        ids = [self.begin_id, *self.encode(text)]
        if len(ids) < 2:
            raise SettingsError("text: expected at least one symbol, got an empty text")
        rows = min(_ROWS_TO_SCORE, max(1, (len(ids) - 1) // _SHORTEST_ROW))
        inputs, targets = (np.array_split(np.array(part), rows)[first::every] for part in (ids[:-1], ids[1:]))
        total, state = 0.0, None
        with enough_memory_for([len(ids)], "text"):
            steps = self._steps_at_once(rows)
            for t in range(0, len(inputs[0]) if inputs else 0, steps):
                chunk_inputs, chunk_targets = ([row[t : t + steps] for row in part] for part in (inputs, targets))
                nats, state = self._nats(chunk_inputs, chunk_targets, state)
                total += nats
        return total, len(ids) - 1

    def metrics(self, text: str, dynamic: float = 0.0) -> dict[str, Any]:
        """Cross-entropy in nats and bits per symbol, and perplexity.

        With `dynamic`, a learning rate such as 0.001, also `dynamic_nats`, by dynamic evaluation: the model keeps
        learning from what it has read; see `stepscan.estimators.dynamic_evaluation`.
        """
        loss = -self.score(text)
        figures = {"nats": loss, "bits": loss / math.log(2), "perplexity": math.exp(loss)}
        if dynamic:
            figures["dynamic_nats"] = self._dynamic_nats(text, dynamic)
        return {**figures, "characters": len(text)}

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of each symbol to be the next after each text `[N, V]`."""
        self._check_usable()
        rows = [[self.begin_id, *self.encode(text)] for text in as_list(texts)]
        probabilities = np.zeros((len(rows), len(self._tokenizer)), dtype=np.float32)
        for indices in by_length([len(row) for row in rows], _BATCH_SIZE):
            with enough_memory_for([len(rows[i]) for i in indices], "text"):
                batch = [rows[i] for i in indices]
                probabilities[indices] = softmax(last_scores(self.network_, batch, self._steps_at_once(len(batch))))
        return probabilities

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable next symbol after each text; for a word model, `"\\n"` at the end of a line."""
        probabilities = self.predict_proba(texts)
        probabilities[:, self._never_generated] = 0
        return [self.decode([int(i)]) for i in probabilities.argmax(axis=1)]

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 500,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        stop: str | Sequence[str] = (),
        forbidden: str | Sequence[str] = (),
        allowed: str | Sequence[str] = (),
        seed: int | None = None,
    ) -> str:
        """Continue the prompt by `length` symbols; returns both.

        Args:
            prompt: the beginning of the text.
            length: number of symbols to generate.
            temperature: divides the scores before sampling; 0: always the most probable symbol.
            top_k: sample from the k most probable symbols; 0: from all.
            top_p: sample from the most probable symbols that together have this probability (Holtzman et al. 2020).
            min_p: keep symbols at least this many times as probable as the most probable one.
            repetition_penalty: above 1, symbols that are already in the text become less probable (Keskar et al. 2019).
            stop: a stop text or several; generation ends before the first of them.
            forbidden: a symbol or several that are never generated.
            allowed: if not empty, only these symbols are generated.
            seed: random seed; None: a new one each time.

        Raises:
            SettingsError: an argument is out of range, or the model does not have a symbol.
        """
        self._check_usable()
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        prompt_ids = [self.begin_id, *self.encode(prompt)]
        if self._tokenizer.unknown in prompt_ids:
            warnings.warn("the prompt has symbols that the model never saw; they are read as unknown", stacklevel=2)
        stops = StopTexts(as_texts(stop, "stop"), self.decode)
        chunk = _CHUNK_TO_STOP if stops.texts else _CHUNK
        length = self.check_length(length)
        request = GenerationRequest(
            length, sampler, seed, self.excluded_ids(forbidden, allowed), repetition_penalty, chunk
        )
        for ids in self._generate_ids(prompt_ids, request):
            if stops.is_reached(ids):
                break
        continuation = stops.text_before()
        needs_space = self._keeps_lines and prompt[-1:].strip() and continuation[:1].strip()
        return f"{prompt} {continuation}" if needs_space else prompt + continuation

    def log_probabilities(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """For each text on its own, the natural logarithm of its probability, and its number of symbols."""
        self._check_usable()
        results = []
        for text in checked_texts(texts):
            ids, total, state = [self.begin_id, *self.encode(text)], 0.0, None
            with enough_memory_for([len(ids)], "text"):
                for t in range(0, len(ids) - 1, self._steps_at_once(1)):
                    piece = ids[t : t + self._steps_at_once(1) + 1]
                    loss, state = self._nats([piece[:-1]], [piece[1:]], state)
                    total += loss
            results.append((-total if total else 0.0, len(ids) - 1))
        return results

    def network_inputs(self, X: Sequence[str]) -> list[list[int]]:
        """The network's inputs: for each text its ids `[1 + T]`, preceded by the begin symbol."""
        return [[self.begin_id, *self.encode(text)] for text in X]

    def _generate_ids(self, prompt_ids: Sequence[int], request: GenerationRequest) -> Iterator[list[int]]:
        """Generate the continuation of `prompt_ids`, at least one, in chunks: in the native library if it has all
        layers; it has no repetition penalty."""
        writer = self.writer if request.repetition_penalty == 1 else None
        if writer is None:
            yield from self._generate_in_steps(prompt_ids, request)
            return
        [random] = row_generators(request.seed, 1)
        state, y = writer.read(prompt_ids)
        for start in range(0, request.length, request.chunk):
            draws = random.random(min(request.chunk, request.length - start))
            state = writer.network.layer.with_room(state, len(draws))
            yield writer.write(state, y, draws, request.sampler, request.excluded, self.threads)

    def _generate_in_steps(self, prompt_ids: Sequence[int], request: GenerationRequest) -> Iterator[list[int]]:
        network, state, steps = self.stepping_network, None, self._steps_at_once(1)
        for t in range(0, max(1, len(prompt_ids) - 1), steps):
            state = network.scan_rows([prompt_ids[:-1][t : t + steps]], state)[2]
        step = without_tokens(network.array_step, request.excluded)
        if request.repetition_penalty != 1:
            seen = np.zeros((1, len(self._tokenizer)), dtype=bool)
            seen[0, list(prompt_ids)] = True
            step, state = with_repetition_penalty(step, state, seen, request.repetition_penalty)
        generated = stream(
            step, state, [prompt_ids[-1]], sampler=request.sampler, random=row_generators(request.seed, 1)
        )
        for tokens, _ in islice(generated, request.length):
            yield tokens.tolist()

    @property
    def writer(self) -> TokenWriter | None:
        """What generates in the native library; None for an ensemble, or layers that do not all run in it."""
        network = self.stepping_network
        is_native = isinstance(network, Generator) and isinstance(network.layer, NativeLayer)
        return TokenWriter(network) if is_native else None

    def _nats(self, inputs: Sequence[Any], targets: Sequence[Any], state: State | None) -> tuple[float, State]:
        """The total negative log-likelihood of `targets` in nats, and the final state; see `total_nats`."""
        return total_nats(self.network_, inputs, targets, state)

    def _steps_at_once(self, rows: int) -> int:
        """The number of steps per batch of so many rows: at most `SCORES` scores."""
        return max(1, min(_STEPS_TO_SCORE, SCORES // (rows * len(self._tokenizer))))

    def _dynamic_nats(self, text: str, learning_rate: float) -> float:
        raise SettingsError("dynamic evaluation trains the model, which requires PyTorch: use stepscan.load")

    @property
    def _tokenizer(self) -> TextTokenizer:
        return self.tokenizers_["tokenizer"]

    @property
    def begin_id(self) -> int:
        """The id of the begin symbol."""
        return self._tokenizer.begin

    @property
    def _keeps_lines(self) -> bool:
        """Whether the end of a line is a symbol, `<eos>`: for tokenizers that drop white space."""
        return self._tokenizer.drops_space

    @property
    def _never_generated(self) -> list[int]:
        """Ids that are never generated."""
        tokenizer = self._tokenizer
        return [tokenizer.pad, tokenizer.unknown, tokenizer.begin, *([] if self._keeps_lines else [tokenizer.end])]

    def check_length(self, length: int) -> int:
        """The checked number of symbols to generate; a `SettingsError` if it is not possible."""
        length = checked_whole(length, "length")
        check_fits(16 * length, f"{length:,} symbols", "use a smaller length")
        return length

    def excluded_ids(self, forbidden: str | Sequence[str], allowed: str | Sequence[str]) -> list[int]:
        """The ids that are never generated, given arguments of `generate`.

        Raises:
            SettingsError: the model does not have a symbol, or all are excluded.
        """
        tokens = self._tokenizer.tokens
        index = {symbol: i for i, symbol in enumerate(tokens)}
        forbidden, allowed = as_texts(forbidden, "forbidden"), as_texts(allowed, "allowed")
        for symbol in (*forbidden, *allowed):
            if symbol not in index:
                raise SettingsError(f"expected a symbol of the model, got {symbol!r}.{nearest(symbol, tokens)}")
        disallowed = [i for i in range(len(tokens)) if tokens[i] not in allowed] if allowed else []
        excluded = {*self._never_generated, *(index[symbol] for symbol in forbidden), *disallowed}
        if len(excluded) == len(tokens):
            raise SettingsError("forbidden: expected at least one symbol that is not, got all; allow at least one")
        return sorted(excluded)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without the begin symbol."""
        tokenizer = self._tokenizer
        checked_texts([text])
        if not self._keeps_lines:
            return tokenizer.encode(text)
        lines = text.split("\n")
        ids = tokenizer.encode_batch(lines)
        return [i for row in ids[:-1] for i in [*row, tokenizer.end]] + ids[-1]

    def split_settled(self, text: str) -> tuple[str, str]:
        """The part of a text whose ids do not depend on what follows the text, and the rest."""
        before, end, line = text.rpartition("\n") if self._keeps_lines else ("", "", text)
        settled, rest = self._tokenizer.split_settled(line)
        return before + end + settled, rest

    def decode(self, ids: list[int]) -> str:
        """The text of ids."""
        tokenizer = self._tokenizer
        if not self._keeps_lines:
            return tokenizer.decode(ids)
        ends = [position for position, i in enumerate(ids) if i == tokenizer.end]
        pieces = [ids[a:b] for a, b in zip([0, *(e + 1 for e in ends)], [*ends, len(ids)], strict=True)]
        return "\n".join(tokenizer.decode(piece) for piece in pieces)


@dataclass(kw_only=True, eq=False, repr=False)
class LanguageModel(GenerationMixin, RuntimeModel):
    """Predicts the next symbol of a text, and continues it."""

    @cached_property
    def writer(self) -> TokenWriter | None:
        """See `GenerationMixin.writer`."""
        return super().writer
