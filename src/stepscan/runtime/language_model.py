"""LanguageModel: a generator over text, which predicts what comes next and goes on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from stepscan.decoding import Sampler, forbidding, generate, penalising, row_randoms
from stepscan.errors import SettingsError, nearest
from stepscan.runtime.batches import pad
from stepscan.runtime.examples import checked_texts, listed
from stepscan.runtime.model import RuntimeModel, Using
from stepscan.runtime.probabilities import nats, softmax
from stepscan.state import State

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer

_ROWS_TO_SCORE = 64  # pieces that a long text is scored in, side by side …
_SHORTEST_ROW = 1000  # … each of so many symbols at least, so that few are scored without what went before
_STEPS_TO_SCORE = 256  # that are read at once
_SCORES = 2**23  # that are looked at together: 32 MB of them


class Continuation(NamedTuple):
    """How a text goes on."""

    length: int  # symbols at most
    sampler: Sampler
    seed: int | None
    excluded: Sequence[int]  # ids that are not written
    repetition_penalty: float  # 1 is none
    until: Callable[[list[int]], bool] | None  # ends it, given what was written


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
        for t in range(0, len(inputs[0]), _STEPS_TO_SCORE):
            read, wanted = ([row[t : t + _STEPS_TO_SCORE] for row in part] for part in (inputs, targets))
            found, state = self._nats(read, wanted, state)
            total += found
        return -total / (len(ids) - 1)

    def metrics(self, text: str, dynamic: float = 0.0, horizon: int = 0) -> dict[str, Any]:
        """Nats and bits a symbol, and perplexity.

        With `dynamic`, a learning rate such as 0.001, also `dynamic_nats`, of the model that goes on learning from what
        it has read; see `stepscan.estimators.dynamic_evaluation`. A `horizon` is for models of numbers.
        """
        if horizon:
            raise SettingsError("a horizon is for forecasts of numbers, but this model is one of text")
        loss = -self.score(text)
        figures = {"nats": loss, "bits": loss / math.log(2), "perplexity": math.exp(loss)}
        if dynamic:
            figures["dynamic_nats"] = self._dynamic_nats(text, dynamic)
        return {**figures, "characters": len(text)}

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of each symbol to come next after each text `[N, V]`."""
        self._check_usable()
        rows = [[self._begin, *self._encode(text)] for text in listed(texts)]
        scores, lengths, _ = self.network_.scan(rows)
        return softmax(scores[np.arange(len(rows)), lengths - 1])

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
        stop: Sequence[str] = (),
        forbidden: Sequence[str] = (),
        allowed: Sequence[str] = (),
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
            stop: texts that end it; what is written ends before the first of them.
            forbidden: symbols that are never written.
            allowed: if there are any, only these symbols are written.
            seed: of the random choices; None is a new one each time.
        """
        self._check_usable()
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        read = [self._begin, *self._encode(prompt)]
        if self._tokenizer.unknown in read:
            warnings.warn("the prompt holds symbols that the model never saw; it reads them as unknown", stacklevel=2)
        ends = [text for text in stop if text]
        until = (lambda ids: any(text in self._decode(ids) for text in ends)) if ends else None
        asked = Continuation(length, sampler, seed, self._excluded(forbidden, allowed), repetition_penalty, until)
        written = self._continued(read, asked)
        more = self._decode(written)
        more = more[: min([place for text in ends if (place := more.find(text)) >= 0], default=len(more))]
        apart = self._by_line and prompt[-1:].strip() and more[:1].strip()
        return f"{prompt} {more}" if apart else prompt + more

    def log_probabilities(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Of each text by itself: the natural logarithm of its probability, and how many symbols it has."""
        self._check_usable()
        found = []
        for text in checked_texts(texts):
            ids = [self._begin, *self._encode(text)]
            loss = self._nats([ids[:-1]], [ids[1:]], None)[0] if len(ids) > 1 else 0.0
            found.append((-loss if loss else 0.0, len(ids) - 1))
        return found

    def _continued(self, read: Sequence[int], asked: Continuation) -> list[int]:
        """What is asked for after the ids that were `read`, of which there is at least one."""
        network = self.network_
        state = network.scan([read[:-1]])[2]
        step = forbidding(network.step, asked.excluded)
        if asked.repetition_penalty != 1:
            said = np.zeros((1, len(self._tokenizer)), dtype=bool)
            said[0, list(read)] = True
            step, state = penalising(step, state, said, asked.repetition_penalty)
        how: dict[str, Any] = {"sampler": asked.sampler, "seed": asked.seed, "until": asked.until}
        return generate(step, state, [read[-1]], length=asked.length, **how)[0]

    def _nats(self, inputs: Sequence[Any], targets: Sequence[Any], state: State | None) -> tuple[float, State]:
        """Nats of all `targets` together, rows of ids each of which comes after that of `inputs`; and the state."""
        network, total = self.network_, 0.0
        size = max(1, _SCORES // (len(inputs) * len(self._tokenizer)))
        for t in range(0, len(inputs[0]), size):
            scores, lengths, state = network.scan([row[t : t + size] for row in inputs], state)
            wanted = pad([row[t : t + size] for row in targets]).data
            total += nats(scores, wanted)[np.arange(wanted.shape[1]) < lengths[:, None]].sum()
        return float(total), state

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

    def _excluded(self, forbidden: Sequence[str], allowed: Sequence[str]) -> list[int]:
        """Ids of the symbols that are not written."""
        tokens = self._tokenizer.tokens
        place = {symbol: i for i, symbol in enumerate(tokens)}
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
        settled, rest = self._tokenizer.settled(line)
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

    def _continued(self, read: Sequence[int], asked: Continuation) -> list[int]:
        """Inside the native library, where nobody looks at single symbols."""
        if asked.repetition_penalty != 1 or asked.until is not None or asked.length < 1:
            return super()._continued(read, asked)
        network, draws = self.network_, row_randoms(asked.seed, 1)[0].random(asked.length)
        state, y = network.read(read)
        return network.write(state, y, draws, asked.sampler, asked.excluded, self.threads)
