"""LanguageModel: a generator over text, which predicts what comes next and goes on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from stepscan.decoding import Sampler, checked_whole, row_generators, stream, with_repetition_penalty, without_tokens
from stepscan.errors import SettingsError, nearest
from stepscan.memory import check_fits
from stepscan.runtime.batches import SCORES, answering, by_length
from stepscan.runtime.examples import checked_texts, listed, one_or_several
from stepscan.runtime.model import RuntimeModel, Using
from stepscan.runtime.probabilities import softmax
from stepscan.runtime.scoring import last_scores, total_nats
from stepscan.runtime.stops import Stops
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer

_ROWS_TO_SCORE = 64  # pieces that a long text is scored in, side by side …
_SHORTEST_ROW = 1000  # … each of so many symbols at least, so that few are scored without what went before
_STEPS_TO_SCORE = 256  # that are read at once
_TOGETHER = 64  # texts that are read in one batch
_PORTION = 2**13  # symbols that are written before anything else is done
_PORTION_TO_STOP = 64  # likewise, where a text may end it


class Continuation(NamedTuple):
    """How a text goes on."""

    length: int  # symbols at most
    sampler: Sampler
    seed: int | None
    excluded: Sequence[int]  # ids that are not written
    repetition_penalty: float  # 1 is none
    portion: int  # symbols that are given at a time


class Writing(Using):
    """What a language model of text does once it is trained."""

    task: ClassVar[str] = "generate"

    def score(self, text: str, y: None = None) -> float:
        """Minus nats a symbol: greater is better. Perplexity is `exp(-score)`.

        A text of 2,000 symbols or more is scored in up to 64 pieces side by side, each from the initial state: a bound
        from below.
        """
        self._check_usable()
        ids = [self._begin, *self._encode(text)]
        if len(ids) < 2:
            raise SettingsError("there is no text to score")
        rows = min(_ROWS_TO_SCORE, max(1, (len(ids) - 1) // _SHORTEST_ROW))
        inputs, targets = (np.array_split(np.array(part), rows) for part in (ids[:-1], ids[1:]))
        total, state = 0.0, None
        with answering([len(ids)], "text"):
            for t in range(0, len(inputs[0]), self._steps_at_once(rows)):
                read, wanted = ([row[t : t + self._steps_at_once(rows)] for row in part] for part in (inputs, targets))
                found, state = self._nats(read, wanted, state)
                total += found
        return -total / (len(ids) - 1)

    def metrics(self, text: str, dynamic: float = 0.0) -> dict[str, Any]:
        """Nats and bits per symbol, and perplexity.

        With `dynamic`, a learning rate such as 0.001, also `dynamic_nats`, by dynamic evaluation: the model keeps
        learning from what it has read; see `stepscan.estimators.dynamic_evaluation`.
        """
        loss = -self.score(text)
        figures = {"nats": loss, "bits": loss / math.log(2), "perplexity": math.exp(loss)}
        if dynamic:
            figures["dynamic_nats"] = self._dynamic_nats(text, dynamic)
        return {**figures, "characters": len(text)}

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of each symbol to come next after each text `[N, V]`."""
        self._check_usable()
        rows = [[self._begin, *self._encode(text)] for text in listed(texts)]
        found = np.zeros((len(rows), len(self._tokenizer)), dtype=np.float32)
        for chosen in by_length([len(row) for row in rows], _TOGETHER):
            with answering([len(rows[i]) for i in chosen], "text"):
                several = [rows[i] for i in chosen]
                found[chosen] = softmax(last_scores(self.network_, several, self._steps_at_once(len(several))))
        return found

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable next symbol after each text; of a word model, `"\\n"` for a line's end."""
        probabilities = self.predict_proba(texts)
        probabilities[:, self._never] = 0
        return [self._decode([int(i)]) for i in probabilities.argmax(axis=1)]

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
        """The prompt and `length` symbols more.

        Args:
            prompt: how the text begins.
            length: symbols to generate.
            temperature: below 1 more cautious, above 1 bolder; 0 always takes the most probable symbol.
            top_k: choose among the k most probable; 0 among all.
            top_p: choose among the most probable that together have this probability (Holtzman et al. 2020).
            min_p: choose among those at least this probable relative to the most probable.
            repetition_penalty: above 1, symbols that stand in the text already are less likely (Keskar et al. 2019).
            stop: texts that end it, or one text; what is written ends before the first of them.
            forbidden: symbols that are never written, or one symbol.
            allowed: if there are any, only these symbols are written.
            seed: of the random choices; None is a new one each time.
        """
        self._check_usable()
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        read = [self._begin, *self._encode(prompt)]
        if self._tokenizer.unknown in read:
            warnings.warn("the prompt holds symbols that the model never saw; it reads them as unknown", stacklevel=2)
        stops = Stops(one_or_several(stop, "stop"), self._decode)
        portion = _PORTION_TO_STOP if stops.texts else _PORTION
        length = self._checked_length(length)
        asked = Continuation(length, sampler, seed, self._excluded(forbidden, allowed), repetition_penalty, portion)
        for ids in self._continued(read, asked):
            if stops.reached(ids):
                break
        more = stops.before()
        apart = self._by_line and prompt[-1:].strip() and more[:1].strip()
        return f"{prompt} {more}" if apart else prompt + more

    def log_probabilities(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Of each text by itself: the natural logarithm of its probability, and how many symbols it has."""
        self._check_usable()
        found = []
        for text in checked_texts(texts):
            ids, total, state = [self._begin, *self._encode(text)], 0.0, None
            with answering([len(ids)], "text"):
                for t in range(0, len(ids) - 1, self._steps_at_once(1)):
                    piece = ids[t : t + self._steps_at_once(1) + 1]
                    loss, state = self._nats([piece[:-1]], [piece[1:]], state)
                    total += loss
            found.append((-total if total else 0.0, len(ids) - 1))
        return found

    def network_inputs(self, X: Sequence[str]) -> list[list[int]]:
        """What the network reads: of each text its ids `[1 + T]`, the first of them the begin symbol."""
        return [[self._begin, *self._encode(text)] for text in X]

    def _continued(self, read: Sequence[int], asked: Continuation) -> Iterator[list[int]]:
        """What is asked for after the ids that were `read`, of which there is at least one, in portions."""
        network, state, steps = self.network_, None, self._steps_at_once(1)
        for t in range(0, max(1, len(read) - 1), steps):
            state = network.scan([read[:-1][t : t + steps]], state)[2]
        step = without_tokens(network.step, asked.excluded)
        if asked.repetition_penalty != 1:
            said = np.zeros((1, len(self._tokenizer)), dtype=bool)
            said[0, list(read)] = True
            step, state = with_repetition_penalty(step, state, said, asked.repetition_penalty)
        written = stream(step, state, [read[-1]], sampler=asked.sampler, random=row_generators(asked.seed, 1))
        for tokens, _ in islice(written, asked.length):
            yield tokens.tolist()

    def _nats(self, inputs: Sequence[Any], targets: Sequence[Any], state: State | None) -> tuple[float, State]:
        """Nats of all `targets` together, rows of ids each of which comes after that of `inputs`; and the state."""
        return total_nats(self.network_, inputs, targets, state)

    def _steps_at_once(self, rows: int) -> int:
        """How many steps of so many rows are scored together: no more scores than `SCORES`."""
        return max(1, min(_STEPS_TO_SCORE, SCORES // (rows * len(self._tokenizer))))

    def _dynamic_nats(self, text: str, learning_rate: float) -> float:
        raise SettingsError("dynamic evaluation goes on training the model, which takes PyTorch: use stepscan.load")

    @property
    def _tokenizer(self) -> TextTokenizer:
        return self.tokenizers_["tokenizer"]

    @property
    def _begin(self) -> int:
        return self._tokenizer.begin

    @property
    def _by_line(self) -> bool:
        """Whether a line's end is a symbol of its own, `<eos>`: where the tokenizer drops white space."""
        return self._tokenizer.drops_space

    @property
    def _never(self) -> list[int]:
        """Symbols that are not written."""
        tokenizer = self._tokenizer
        return [tokenizer.pad, tokenizer.unknown, tokenizer.begin, *([] if self._by_line else [tokenizer.end])]

    def _checked_length(self, length: int) -> int:
        length = checked_whole(length, "length")
        check_fits(16 * length, f"{length:,} symbols", "use a smaller length")
        return length

    def _excluded(self, forbidden: str | Sequence[str], allowed: str | Sequence[str]) -> list[int]:
        """Ids of the symbols that are not written."""
        tokens = self._tokenizer.tokens
        place = {symbol: i for i, symbol in enumerate(tokens)}
        forbidden, allowed = one_or_several(forbidden, "forbidden"), one_or_several(allowed, "allowed")
        for symbol in (*forbidden, *allowed):
            if symbol not in place:
                raise SettingsError(f"the model has no symbol {symbol!r}.{nearest(symbol, tokens)}")
        others = [i for i in range(len(tokens)) if tokens[i] not in allowed] if allowed else []
        found = {*self._never, *(place[symbol] for symbol in forbidden), *others}
        if len(found) == len(tokens):
            raise SettingsError("every symbol is forbidden; allow at least one")
        return sorted(found)

    def _encode(self, text: str) -> list[int]:
        tokenizer = self._tokenizer
        checked_texts([text])
        if not self._by_line:
            return tokenizer.encode(text)
        lines = text.split("\n")
        ids = tokenizer.encode_batch(lines)
        return [i for row in ids[:-1] for i in [*row, tokenizer.end]] + ids[-1]

    def _settled(self, text: str) -> tuple[str, str]:
        """The beginning of a text that is encoded in the same way whatever follows the text, and the rest."""
        before, end, line = text.rpartition("\n") if self._by_line else ("", "", text)
        settled, rest = self._tokenizer.split_settled(line)
        return before + end + settled, rest

    def _decode(self, ids: list[int]) -> str:
        tokenizer = self._tokenizer
        if not self._by_line:
            return tokenizer.decode(ids)
        ends = [place for place, i in enumerate(ids) if i == tokenizer.end]
        pieces = [ids[a:b] for a, b in zip([0, *(e + 1 for e in ends)], [*ends, len(ids)], strict=True)]
        return "\n".join(tokenizer.decode(piece) for piece in pieces)


@dataclass(kw_only=True, eq=False, repr=False)
class LanguageModel(Writing, RuntimeModel):
    """Predicts what comes next in a text, and goes on with it."""

    def _continued(self, read: Sequence[int], asked: Continuation) -> Iterator[list[int]]:
        """Inside the native library, where nobody looks at single symbols."""
        if asked.repetition_penalty != 1:
            yield from super()._continued(read, asked)
            return
        network, [random] = self.network_, row_generators(asked.seed, 1)
        state, y = network.read(read)
        for written in range(0, asked.length, asked.portion):
            draws = random.random(min(asked.portion, asked.length - written))
            state = network.layer.with_room(state, len(draws))
            yield network.write(state, y, draws, asked.sampler, asked.excluded, self.threads)
