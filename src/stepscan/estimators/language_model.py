"""LanguageModel: a generator over text or numbers, which predicts what comes next and goes on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stepscan.data.batching import Batch, pad, streams
from stepscan.data.tokenizers import TextTokenizer
from stepscan.decoding import Sampler, forbidding, generate, penalising
from stepscan.errors import SettingsError, nearest
from stepscan.estimators.dynamic_evaluation import dynamic_nats
from stepscan.estimators.examples import checked_texts, listed
from stepscan.estimators.forecasting import Forecasting, several
from stepscan.estimators.series import are_numbers
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.forecaster import Forecaster
from stepscan.patterns.generator import Generator
from stepscan.sequences import Sequences
from stepscan.training.loop import Task
from stepscan.training.progress import Bar

_ROWS_TO_SCORE = 64  # pieces that a long text is scored in, side by side …
_SHORTEST_ROW = 1000  # … each of so many symbols at least, so that few are scored without what went before


@dataclass(kw_only=True, eq=False, repr=False)
class LanguageModel(Forecasting):
    """Learns what follows what in a text, and generates; or in series of numbers, and forecasts.

    For numbers there are `head`, `season`, `logarithm` and `input_noise`; `tied`, `tokenizer` and `vocabulary_size` are
    for texts alone.

    Args:
        cell: recurrent cell, such as `lstm`, `gru`, `elman`.
        layers: cells one above the other.
        hidden_size: of each cell.
        embedding_size: numbers a symbol.
        tied: whether the output weights are the embedding's.
        dropout: probability, on embeddings, between layers and before the output.
        tokenizer: `character`, `byte`, `bpe`, `word` or `whitespace`; the last two write a line's end as `<eos>`.
        vocabulary_size: symbols at most; None for all.
        head: of numbers: `gaussian` (mean and deviation) or `quantile`.
        season: of numbers: steps after which they repeat; what is learned is the change from so many steps before. 0:
            the numbers themselves; 1: the change from the last.
        logarithm: of numbers above 0: whether their logarithms are learned, so that growth is a sum.
        input_noise: standard deviation of noise on standardised numbers in training.
        window: steps that gradients go back (truncated back-propagation through time); the state is carried on.
        epochs … device: see `Estimator`; `batch_size` is the number of parallel streams of text.
    """

    task: ClassVar[str] = "generate"
    pattern: ClassVar[Any] = (Generator, Forecaster)

    cell: str = "lstm"
    layers: int = 1
    hidden_size: int = 384
    embedding_size: int = 64
    tied: bool = False
    dropout: float = 0.1
    tokenizer: str = "character"
    vocabulary_size: int | None = None
    head: str = "gaussian"
    season: int = 0
    logarithm: bool = False
    input_noise: float = 0.0
    window: int = 64
    epochs: int = 7
    batch_size: int = 32
    learning_rate: float = 4e-3

    def fit(self, text: Any, y: None = None, validation: Any = None) -> Self:
        """Learn from a text; judged on the text `validation`, or on the last tenth held out.

        In place of a text there may be numbers: one series `[T]` or `[T, D]`, or several in a list. Without
        `validation`, the last tenth of each is held out.

        Raises:
            SettingsError: a setting is wrong, or the text is too short for one window.
        """
        if isinstance(text, np.ndarray | list | tuple) and are_numbers(several(text)):
            return self._fit_series(text, validation)
        with self._fitting() as settings:
            self._check_of_text()
            train, valid = self._split(text, validation)
            self.tokenizers_, self.labels_ = {"tokenizer": self._train_tokenizer(train)}, None
            ids = np.array([self._begin, *self._encode(train)])
            if len(ids) < 2 * settings.batch_size:
                raise SettingsError(
                    f"the text has {len(ids) - 1} symbols, too few for {settings.batch_size} parallel streams; "
                    "give more text, or a smaller batch_size"
                )
            windows = streams(ids, settings.batch_size, self.window)
            self.model_ = self._built().to(settings.device)
            task = Task(
                self.model_, lambda epoch: _batches(windows), len(windows), lambda: {"nats": -self.score(valid)}, False
            )
            self._train(settings, task)
        return self

    @torch.inference_mode()
    def score(self, text: str, y: None = None) -> float:
        """Minus nats a symbol: greater is better. Perplexity is `exp(-score)`.

        A text of 2,000 symbols or more is scored in up to 64 pieces side by side, each from the initial state: a bound
        from below. Of numbers: minus the loss a number (nats or pinball loss of standardised numbers).
        """
        self._check_fitted()
        if isinstance(self.model_, Forecaster):
            return -self._series_loss(text)
        ids = np.array([self._begin, *self._encode(text)])
        if len(ids) < 2:
            raise SettingsError("there is no text to score")
        rows = min(_ROWS_TO_SCORE, max(1, (len(ids) - 1) // _SHORTEST_ROW))
        inputs, targets = pad(np.array_split(ids[:-1], rows)), pad(np.array_split(ids[1:], rows))
        total, state = 0.0, None
        for t in range(0, inputs.steps, 256):
            piece = [_window(s, t, 256).to(self._device) for s in (inputs, targets)]
            loss = self.model_.loss(*piece, state)
            total, state = total + loss.total.item(), loss.state
        return -total / (len(ids) - 1)

    def metrics(self, text: Any, dynamic: float = 0.0, horizon: int = 0) -> dict[str, Any]:
        """Nats and bits a symbol, and perplexity.

        Of numbers: the mean absolute error (`mae`) and root mean squared error of the last `horizon` steps of each
        series, forecast from those before (0: of every step, one ahead); beside them those of the seasonal naive
        forecast, which says what was one season before; the share of numbers within the 90 % interval; and the loss.

        With `dynamic`, a learning rate such as 0.001, also `dynamic_nats`, of the model that goes on learning from what
        it has read; see `stepscan.estimators.dynamic_evaluation`.
        """
        self._check_fitted()
        if isinstance(self.model_, Forecaster):
            if dynamic:
                raise SettingsError("dynamic evaluation is of texts, but this model is one of numbers")
            return self._series_metrics(text, horizon)
        if horizon:
            raise SettingsError("a horizon is for forecasts of numbers, but this model is one of text")
        nats = -self.score(text)
        figures = {"nats": nats, "bits": nats / math.log(2), "perplexity": math.exp(nats)}
        if dynamic:
            ids = np.array([self._begin, *self._encode(text)])
            figures["dynamic_nats"] = dynamic_nats(self.model_, ids, learning_rate=dynamic, window=self.window)
        return {**figures, "characters": len(text)}

    @torch.inference_mode()
    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """The probability of each symbol to come next after each text `[N, V]`."""
        self._check_text()
        scores, _ = self.model_(pad([[self._begin, *self._encode(text)] for text in listed(texts)]).to(self._device))
        return scores.last().softmax(dim=1).cpu().numpy()

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
        self._check_text()
        tokenizer = self.tokenizers_["tokenizer"]
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        read = [self._begin, *self._encode(prompt)]
        if tokenizer.unknown in read:
            warnings.warn("the prompt holds symbols that the model never saw; it reads them as unknown", stacklevel=2)
        with torch.inference_mode():
            _, state = self.model_(pad([read[:-1]]).to(self._device))
        step = forbidding(self.model_.array_step, self._excluded(forbidden, allowed))
        if repetition_penalty != 1:
            said = np.zeros((1, len(tokenizer)), dtype=bool)
            said[0, read] = True
            step, state = penalising(step, state, said, repetition_penalty)
        ends = [text for text in stop if text]
        until = (lambda ids: any(text in self._decode(ids) for text in ends)) if ends else None
        written = generate(step, state, [read[-1]], length=length, sampler=sampler, seed=seed, until=until)[0]
        more = self._decode(written)
        more = more[: min([place for text in ends if (place := more.find(text)) >= 0], default=len(more))]
        apart = self._by_line and prompt[-1:].strip() and more[:1].strip()
        return f"{prompt} {more}" if apart else prompt + more

    def _check_of_text(self) -> None:
        """Settings that only numbers have are a mistake where the data are text."""
        for name in ("season", "logarithm", "input_noise", "head"):
            if getattr(self, name) != getattr(type(self), name):
                raise SettingsError(
                    f"{name}={getattr(self, name)!r} is for series of numbers, but the data are text; of a CSV file "
                    "say format numbers"
                )

    def _check_text(self) -> None:
        self._check_fitted()
        if isinstance(self.model_, Forecaster):
            raise SettingsError("this model is one of numbers: use forecast (stepscan generate --history FILE)")

    @property
    def _begin(self) -> int:
        return self.tokenizers_["tokenizer"].begin

    @property
    def _never(self) -> list[int]:
        """Symbols that are not written."""
        tokenizer = self.tokenizers_["tokenizer"]
        return [tokenizer.pad, tokenizer.unknown, tokenizer.begin, *([] if self._by_line else [tokenizer.end])]

    def _excluded(self, forbidden: Sequence[str], allowed: Sequence[str]) -> list[int]:
        """Ids of the symbols that are not written."""
        tokens = self.tokenizers_["tokenizer"].tokens
        place = {symbol: i for i, symbol in enumerate(tokens)}
        for symbol in (*forbidden, *allowed):
            if symbol not in place:
                raise SettingsError(f"the model has no symbol {symbol!r}.{nearest(symbol, tokens)}")
        others = [i for i in range(len(tokens)) if tokens[i] not in allowed] if allowed else []
        found = {*self._never, *(place[symbol] for symbol in forbidden), *others}
        if len(found) == len(tokens):
            raise SettingsError("every symbol is forbidden; allow at least one")
        return sorted(found)

    @torch.inference_mode()
    def log_probabilities(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Of each text by itself: the natural logarithm of its probability, and how many symbols it has."""
        self._check_text()
        found = []
        for text in checked_texts(texts):
            ids = self._encode(text)
            inputs, targets = pad([[self._begin, *ids[:-1]] if ids else []]), pad([ids])
            loss = self.model_.loss(inputs.to(self._device), targets.to(self._device)) if ids else None
            found.append((-loss.total.item() if loss else 0.0, len(ids)))
        return found

    @property
    def _by_line(self) -> bool:
        """Whether a line's end is a symbol of its own, `<eos>`: where the tokenizer drops white space."""
        return self.tokenizers_["tokenizer"].kind in ("word", "whitespace")

    def _train_tokenizer(self, text: str) -> TextTokenizer:
        return TextTokenizer.train(self.tokenizer, text.splitlines(keepends=True), vocabulary_size=self.vocabulary_size)

    def _encode(self, text: str) -> list[int]:
        tokenizer = self.tokenizers_["tokenizer"]
        checked_texts([text])
        if not self._by_line:
            return tokenizer.encode(text)
        lines = text.split("\n")
        ids = tokenizer.encode_batch(lines)
        return [i for row in ids[:-1] for i in [*row, tokenizer.end]] + ids[-1]

    def _decode(self, ids: list[int]) -> str:
        tokenizer = self.tokenizers_["tokenizer"]
        if not self._by_line:
            return tokenizer.decode(ids)
        ends = [place for place, i in enumerate(ids) if i == tokenizer.end]
        pieces = [ids[a:b] for a, b in zip([0, *(e + 1 for e in ends)], [*ends, len(ids)], strict=True)]
        return "\n".join(tokenizer.decode(piece) for piece in pieces)

    def _model(self, changes: Sequence[np.ndarray] | None = None) -> Generator | Forecaster:
        """The pattern for text; given what is to be learned of series, that for numbers."""
        if changes is not None:
            return self._forecaster(changes)
        embedding = Embedding(
            len(self.tokenizers_["tokenizer"]),
            self.embedding_size,
            self._input_dropout,
            symbol_dropout=self.embedding_dropout,
        )
        layer = self._network(self.embedding_size, self.hidden_size, causal=True)
        return Generator(embedding, layer, tied=self.tied, dropout=self.dropout, label_smoothing=self.label_smoothing)

    def _split(self, text: str, validation: str | None) -> tuple[str, str]:
        for one in (text, validation):
            if one is not None and not isinstance(one, str):
                raise SettingsError(f"one text is needed, got a {type(one).__name__}; join its parts")
        if validation == "" or (validation is None and len(text) < 2):
            raise SettingsError("there is no text to validate on; give more text, or validation text")
        if validation is not None:
            return text, validation
        cut = len(text) - max(1, len(text) // 10)
        if self.verbose:
            Bar().note(f"no validation data given: the last tenth ({len(text) - cut:,} characters) is held out")
        return text[:cut], text[cut:]


def _batches(windows: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[Batch]:
    for inputs, targets in windows:
        lengths = [inputs.shape[1]] * len(inputs)
        count = inputs.numel()
        yield Batch(Sequences(inputs, lengths), Sequences(targets, lengths), len(inputs), count, count)


def _window(sequences: Sequences, start: int, size: int) -> Sequences:
    return Sequences(sequences.data[:, start : start + size], (sequences.lengths - start).clamp(0, size))
