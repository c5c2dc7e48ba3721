"""Texts that language models write, a symbol at a time, many of them together; translations are in `sessions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stepscan.backends.batches import Array
from stepscan.backends.native_arrays import address
from stepscan.backends.probabilities import softmax
from stepscan.decoding import Sampler, row_generators
from stepscan.errors import StepscanError
from stepscan.models.token_writer import Draws

_DRAWS = 64  # random numbers that are drawn at a time
_FAILED = -1
_MOST_SYMBOLS = 2**31


class WritingRequest(NamedTuple):
    """How a text is written."""

    sampler: Sampler
    seed: int | None
    excluded: Sequence[int] = ()  # ids that are never written
    measured: bool = False  # whether the probability of each symbol is wanted


class Written(NamedTuple):
    """A symbol of a text."""

    id: int
    probability: float  # before temperature and restrictions; 0 unless it is wanted


class Text:
    """A text that a language model is writing.

    Args:
        model: the runtime model.
        stream: the layers' state after what was read, which changes as the text is written.
        y: the layers' last output `[H]`.
        request: how it is written.
    """

    def __init__(self, model: Any, stream: Any, y: Array, request: WritingRequest) -> None:
        self.model, self.stream, self.y = model, stream, y
        sampler, [self._random] = request.sampler, row_generators(request.seed, 1)
        self.sampler = sampler
        self.settings = sampler.temperature, sampler.top_p, sampler.min_p
        self.top_k, self.measured = int(sampler.top_k), request.measured
        self.excluded = np.zeros(len(model.network_.embedding.weight), np.uint8)
        self.excluded[list(request.excluded)] = 1
        self._draws: list[float] = []

    @staticmethod
    def joined(model: Any, texts: Sequence[Text]) -> JointTexts:
        """Texts of one model that are written together."""
        return JointTexts(model, texts)

    def draw(self) -> float:
        """The next random number in [0, 1)."""
        if not self._draws:
            self._draws = self._random.random(_DRAWS)[::-1].tolist()
        return self._draws.pop()


class JointTexts:
    """Texts of one language model that are written together; each has the bits that it has alone.

    Args:
        model: the runtime model.
        texts: the texts, at least one; theirs are what a step changes.
    """

    def __init__(self, model: Any, texts: Sequence[Text]) -> None:
        self.model, self.texts = model, texts
        self._streams = [text.stream for text in texts]
        self._y = np.stack([text.y for text in texts]).astype(np.float32)
        for text, row in zip(texts, self._y, strict=True):
            text.y = row
        self._draws = Draws(
            settings=np.array([text.settings for text in texts], np.float64),
            top_k=np.array([text.top_k for text in texts], np.int64),
            excluded=[address(text.excluded) for text in texts],
            uniforms=np.empty(len(texts), np.float64),
            measured=np.array([text.measured for text in texts], np.uint8),
        )

    def step(self) -> list[Written | None]:
        """Write one symbol of each; None for a text whose scores are not finite, or whose symbols are all excluded."""
        self._draws.uniforms[:] = [text.draw() for text in self.texts]
        if self.model.writer is None:
            rows = zip(self.texts, self._y, self._draws.uniforms, strict=True)
            return [_write_in_python(self.model, text, y, draw) for text, y, draw in rows]
        ids, probabilities = self.model.writer.write_each(self._streams, self._y, self._draws, self.model.threads)
        pairs = zip(ids.tolist(), probabilities.tolist(), strict=True)
        return [None if id == _FAILED else Written(id, probability) for id, probability in pairs]


def _write_in_python(model: Any, text: Text, y: Array, draw: float) -> Written | None:
    """Write a symbol of a text whose layers run in Python; `y [H]` is modified in place."""
    network = model.network_
    scores = np.array(network.score(y[None]), np.float64)
    probabilities = softmax(scores)[0] if text.measured else None
    scores[:, text.excluded.astype(bool)] = -np.inf
    try:
        [id] = text.sampler.pick(scores, np.array([draw])).tolist()
    except StepscanError:
        return None
    vector = np.ascontiguousarray(network.embedding.step(np.array([id])), np.float32)
    if not text.stream.push(vector, y[None], model.threads):
        return None
    return Written(id, 0.0 if probabilities is None else float(probabilities[id]))


class IteratedText:
    """A text of a language model whose layer goes step by step in Python; the prompt is read with the first symbol.

    Args:
        model: the runtime model.
        ids: of the prompt, at least one.
        request: how it is written.
    """

    def __init__(self, model: Any, ids: Sequence[int], request: WritingRequest) -> None:
        from stepscan.models.language_model import GenerationRequest

        self._ids = model._generate_ids(
            ids, GenerationRequest(_MOST_SYMBOLS, request.sampler, request.seed, request.excluded, 1.0, 1)
        )

    @staticmethod
    def joined(model: Any, texts: Sequence[IteratedText]) -> IteratedTexts:
        """Texts of one model that are written together."""
        return IteratedTexts(texts)

    def write(self) -> Written | None:
        """Write a symbol; None if its scores are not finite."""
        try:
            return Written(next(self._ids)[0], 0.0)
        except StepscanError:
            return None


class IteratedTexts:
    """Texts that are written one after the other.

    Args:
        texts: the texts.
    """

    def __init__(self, texts: Sequence[IteratedText]) -> None:
        self.texts = texts

    def step(self) -> list[Written | None]:
        """Write one symbol of each; None where scores are not finite."""
        return [text.write() for text in self.texts]


def joint(model: Any, texts: Sequence[Any]) -> Any:
    """Texts of one model, at least one, that are written together: an object whose `step` writes a symbol of each."""
    return texts[0].joined(model, texts)
