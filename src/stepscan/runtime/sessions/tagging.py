"""Tags as a sequence arrives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.errors import SettingsError
from stepscan.kernels.native import library
from stepscan.runtime.examples import checked_texts
from stepscan.runtime.layers import Array, address
from stepscan.runtime.sessions.session import Session, pieces_of_series


class TaggingSession(Session):
    """Tags as the sequence arrives: `push` takes tokens, or a piece `[T, D]` of a series, and returns their tags."""

    def __init__(self, model: Any) -> None:
        if hasattr(model.network_, "crf"):
            raise SettingsError(
                "a CRF decides the tags of a whole sentence together, so they cannot be told as it arrives: use predict"
            )
        super().__init__(model)
        self._block: _Block | None = None

    def push_block(self, block: Array, out: Array) -> Array:
        """A piece of a series → the probabilities of its steps' tags, in the order of `classes_`.

        Once the largest piece has been seen, nothing is allocated.

        Args:
            block: `[T, D]` of floats.
            out: `[T or more, tags]` of float32, where they are written.

        Returns:
            The first T rows of `out`.
        """
        with self._lock:
            if self._block is None or len(block) > self._block.capacity:
                self._block = _Block(self._model, max(1, len(block)))
            return self._block.run(self._stream, block, out)

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any]) -> Array:
        sentences = [_items(one) for one in several] if model.tokenizers_ else pieces_of_series(model, several)
        return model.network_.embedding(model._reader(sentences)(range(len(sentences))))[0]

    def _answer(self, outputs: Array) -> list[Any]:
        return self._answers(self._model, [], outputs)

    @classmethod
    def _answers(cls, model: Any, sessions: Sequence[Any], outputs: Array) -> list[Any]:
        return model.classes_[model.network_.head(outputs).argmax(axis=1)].tolist() if len(outputs) else []


def _items(sentence: Any) -> list[str]:
    """The tokens of a piece of a sentence; a text is one token."""
    return [sentence] if isinstance(sentence, str) else checked_texts(sentence, "token")


class _Block:
    """Room for pieces of a series of up to `capacity` steps."""

    def __init__(self, model: Any, capacity: int) -> None:
        network = model.network_
        self.capacity, self.threads, self.network = capacity, model.threads, network
        self.size = network.embedding.size
        self.mean, self.deviation = (
            np.ascontiguousarray(a, np.float64) for a in (network.embedding.mean, network.embedding.deviation)
        )
        self.numbers = np.empty((capacity, self.size), np.float32)
        self.vectors = np.empty((capacity, network.layer.input_size), np.float32)
        self.outputs = np.empty((capacity, network.layer.output_size), np.float32)
        self.scores = np.empty((capacity, network.outputs), np.float32)

    def run(self, stream: Any, block: Array, out: Array) -> Array:
        network, steps, tags = self.network, len(block), self.scores.shape[1]
        if block.ndim != 2 or block.shape[1] != self.size:
            raise SettingsError(f"expected a block [T, {self.size}], got {list(block.shape)}")
        if (
            out.dtype != np.float32
            or out.ndim != 2
            or out.shape[1] != tags
            or len(out) < steps
            or not out.flags.c_contiguous
        ):
            raise SettingsError(
                f"expected room [{steps} or more, {tags}] of float32, contiguous, got {list(out.shape)}, {out.dtype}"
            )
        numbers = self.numbers[:steps]
        if block.dtype not in (np.float32, np.float64) or not block.flags.c_contiguous:
            block = np.ascontiguousarray(block, np.float64)
        doubles = block.dtype == np.float64
        scale = address(self.mean), address(self.deviation)
        library.standardise(address(block), doubles, steps, self.size, *scale, address(numbers))
        projection = network.embedding.projection
        if projection is None:
            vectors = numbers
        else:
            vectors = self.vectors[:steps]
            projection.native.run(address(numbers), steps, address(vectors), self.threads)
        stream.push(vectors, self.outputs, self.threads)
        network.head.native.run(address(self.outputs), steps, address(self.scores), self.threads)
        library.softmax(address(self.scores), steps, tags, address(out), self.threads)
        return out[:steps]
