"""Tags as a sequence arrives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.errors import SettingsError
from stepscan.kernels.native import library
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.examples import checked_texts
from stepscan.runtime.layers import address
from stepscan.runtime.series import as_numbers
from stepscan.runtime.sessions.session import (
    Moment,
    Session,
    overflowed,
    say_without_wide,
    too_large,
    vectors_of_series,
)


class TaggingSession(Session):
    """Tags as the sequence arrives: `push` takes tokens, or a piece `[T, D]` of a series, and returns their tags.

    A wide part takes no part in it, which a warning says: it looks at the tokens that follow.
    """

    def __init__(self, model: Any) -> None:
        if model.network_.crf is not None:
            raise SettingsError(
                "a CRF decides the tags of a whole sentence together, so they cannot be told as it arrives: use predict"
            )
        super().__init__(model)
        self._block: _Block | None = None

    def push_block(self, block: Array, out: Array) -> Array:
        """A piece of a series → the probabilities of its steps' tags, in the order of `classes_`.

        Once the largest piece has been seen, nothing is allocated.

        Args:
            block: `[T, D]` of numbers; float32 and float64 in one piece of memory are read where they are.
            out: `[T or more, tags]` of float32, where they are written.

        Returns:
            The first T rows of `out`.

        Raises:
            SettingsError: the block is not of finite numbers, or `out` cannot take what is written; the session is as
                it was, and so is `out`.
        """
        if self._model.tokenizers_:
            raise SettingsError("push_block is for taggers of series, but this one tags the tokens of texts: use push")
        block = _as_block(block, self._network.embedding.size)
        with self._turn:
            if self._block is None or len(block) > self._block.capacity:
                self._block = _Block(self._model, max(1, len(block)))
            stream = self._spare
            stream.copy(self._now.stream)
            found = self._block.run(stream, block, out)
            self._now = Moment(stream, self._now.kept)
            return found

    def _begin(self) -> Moment:
        if self._model.wide_ is not None:
            say_without_wide("tags")
        return self._moment(np.zeros((1, self._network.layer.state_size), np.float32), {})

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any], what: str) -> Batch:
        if not model.tokenizers_:
            return vectors_of_series(model, several, what)
        sentences = [_items(one) for one in several]
        return model.network_.embedding(model.network_inputs(sentences))

    def _answer(self, outputs: Array, moment: Moment) -> list[Any]:
        return self._answers(self._model, [], outputs)

    @classmethod
    def _answers(cls, model: Any, moments: Sequence[Moment], outputs: Array) -> list[Any]:
        return model.classes_[model.network_.head(outputs).argmax(axis=1)].tolist() if len(outputs) else []


def _items(sentence: Any) -> list[str]:
    """The tokens of a piece of a sentence; a text is one token."""
    return [sentence] if isinstance(sentence, str) else checked_texts(sentence, "token")


def _as_block(block: Any, size: int) -> Array:
    """A block `[T, size]` as the native library reads it: itself if it can be, otherwise in float64."""
    floats = isinstance(block, np.ndarray) and block.dtype in (np.float32, np.float64)
    if not floats or np.ma.isMaskedArray(block) or not (block.flags.c_contiguous and block.flags.aligned):
        block = as_numbers(block, "the block")
    if block.ndim != 2 or block.shape[1] != size:
        raise SettingsError(f"expected a block [T, {size}], got {list(block.shape)}")
    return block


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
        network, steps = self.network, len(block)
        self.check_room(out, block)
        numbers, vectors, scores = self.numbers[:steps], self.vectors[:steps], self.scores[:steps]
        place = library.standardise(block, address(self.mean), address(self.deviation), numbers)
        if place >= 0:
            too_large("the block", block, *divmod(place, self.size))
        projection = network.embedding.projection
        if projection is None:
            vectors = numbers
        else:
            projection.native.run(address(numbers), steps, address(vectors), self.threads)
        if not stream.push(vectors, self.outputs, self.threads):
            overflowed()
        network.head.native.run(address(self.outputs), steps, address(scores), self.threads)
        if not library.probabilities(scores, out, self.threads):
            overflowed()
        return out[:steps]

    def check_room(self, out: Any, block: Array) -> None:
        """Raise unless the block's probabilities can be written to `out`."""
        room = f"expected room [{len(block)} or more, {self.scores.shape[1]}] of float32, contiguous and writeable"
        if not isinstance(out, np.ndarray):
            raise SettingsError(f"{room}, got {type(out).__name__}; give np.empty((steps, tags), np.float32)")
        fits = out.ndim == 2 and out.shape[1] == self.scores.shape[1] and len(out) >= len(block)
        if not fits or out.dtype != np.float32 or not out.flags.carray:
            lacks = ("" if out.flags.c_contiguous else ", not contiguous") + (
                "" if out.flags.writeable else ", read-only"
            )
            raise SettingsError(f"{room}, got {list(out.shape)} of {out.dtype}{lacks}")
        if np.may_share_memory(block, out):
            raise SettingsError(f"{room}, apart from the block, but the two share memory")
