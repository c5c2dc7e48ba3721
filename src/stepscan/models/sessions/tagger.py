"""Session of a tagger."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.native_arrays import address
from stepscan.data.example_checks import checked_texts
from stepscan.data.series.checks import as_numbers, raise_not_finite
from stepscan.errors import SettingsError
from stepscan.kernels.native import library
from stepscan.models.sessions.series_input import series_vectors
from stepscan.models.sessions.session import raise_overflow
from stepscan.models.sessions.stream import SessionState, StreamSession, embedded, warn_without_wide


class TaggerSession(StreamSession):
    """Tags a sequence as it arrives: `push` takes tokens, or a piece `[T, D]` of a series, and returns their tags.

    A session does not use the model's wide part, which depends on the tokens that follow, nor the penalty of O that was
    chosen for both; a warning says so.

    Raises:
        SettingsError: the model is not causal, or has a CRF.
    """

    def __init__(self, model: Any) -> None:
        if model.network_.crf is not None:
            raise SettingsError(
                "expected a tagger without a CRF, which predicts the tags of a whole sentence together; use predict"
            )
        super().__init__(model)
        self._buffers: _BlockBuffers | None = None

    def push_block(self, block: Array, out: Array) -> Array:
        """Push a piece of a series; returns the probabilities of its steps' tags, in the order of `classes_`.

        Nothing is allocated once a piece of the largest size was pushed.

        Args:
            block: `[T, D]`; contiguous float32 and float64 are not copied.
            out: `[T or more, tags]` of float32, to which the probabilities are written.

        Returns:
            The first T rows of `out`.

        Raises:
            SettingsError: the block has values that are not finite, or `out` does not fit; the session and `out` are
                unchanged.
        """
        if self._model.tokenizers_:
            raise SettingsError("push_block: expected a tagger of series, got one of tokens; use push")
        block = _check_block(block, self._network.embedding.size)
        with self._lock:
            if self._buffers is None or len(block) > self._buffers.capacity:
                self._buffers = _BlockBuffers(self._model, max(1, len(block)))
            stream = self._spare_stream
            stream.copy(self._state.stream)
            probabilities = self._buffers.run(stream, block, out)
            self._state = SessionState(stream, self._state.accumulators)
            return probabilities

    def _initial_state(self) -> SessionState:
        if self._model.wide_ is not None:
            warn_without_wide()
        return self._new_state(self._network.layer.initial_state(1), {})

    @staticmethod
    def _embed(model: Any, pieces: Sequence[Any], what: str) -> Batch:
        if not model.tokenizers_:
            return series_vectors(model, pieces, what)
        sentences = [_check_tokens(piece) for piece in pieces]
        return embedded(model, model.network_inputs(sentences))

    def _output(self, outputs: Array, state: SessionState) -> list[Any]:
        return self._batch_outputs(self._model, [], outputs)

    @classmethod
    def _piece_outputs(cls, model: Any, states: Sequence[SessionState], outputs: Sequence[Array]) -> list[Any]:
        tags = iter(cls._batch_outputs(model, states, np.concatenate(outputs)))
        return [list(islice(tags, len(rows))) for rows in outputs]

    @classmethod
    def _batch_outputs(cls, model: Any, states: Sequence[SessionState], outputs: Array) -> list[Any]:
        if not len(outputs):
            return []
        scores = model.network_.head(outputs)
        if model.wide_ is None:
            scores = scores - model.tag_penalties
        return model.classes_[scores.argmax(axis=1)].tolist()


def _check_tokens(sentence: Any) -> list[str]:
    """The checked tokens of a piece of a sentence; a string is one token."""
    return [sentence] if isinstance(sentence, str) else checked_texts(sentence, "token")


def _check_block(block: Any, size: int) -> Array:
    """A block `[T, size]` that the native library can read: itself if possible, otherwise a copy in float64."""
    is_float = isinstance(block, np.ndarray) and block.dtype in (np.float32, np.float64)
    if not is_float or np.ma.isMaskedArray(block) or not (block.flags.c_contiguous and block.flags.aligned):
        block = as_numbers(block, "the block")
    if block.ndim != 2 or block.shape[1] != size:
        raise SettingsError(f"block: expected the shape [T, {size}], got {list(block.shape)}")
    return block


class _BlockBuffers:
    """Buffers for pieces of a series of up to `capacity` steps."""

    def __init__(self, model: Any, capacity: int) -> None:
        network = model.network_
        self.capacity, self.threads, self.network = capacity, model.threads, network
        self.size = network.embedding.size
        self.mean, self.deviation = (
            np.ascontiguousarray(a, np.float64) for a in (network.embedding.mean, network.embedding.deviation)
        )
        self.inputs = np.empty((capacity, self.size), np.float32)
        self.vectors = np.empty((capacity, network.layer.input_size), np.float32)
        self.outputs = np.empty((capacity, network.layer.output_size), np.float32)
        self.scores = np.empty((capacity, network.outputs), np.float32)

    def run(self, stream: Any, block: Array, out: Array) -> Array:
        """Advance the stream by a block `[T, D]`; writes the tags' probabilities `[T, tags]` to `out`."""
        network, steps = self.network, len(block)
        self.check_out(out, block)
        inputs, vectors, scores = self.inputs[:steps], self.vectors[:steps], self.scores[:steps]
        failed = library.standardise(block, address(self.mean), address(self.deviation), inputs)
        if failed >= 0:
            raise_not_finite("the block", block, *divmod(failed, self.size))
        projection = network.embedding.projection
        if projection is None:
            vectors = inputs
        else:
            projection.native.run(address(inputs), steps, address(vectors), self.threads)
        if not stream.push(vectors, self.outputs, self.threads):
            raise_overflow()
        network.head.native.run(address(self.outputs), steps, address(scores), self.threads)
        if not library.probabilities(scores, out, self.threads):
            raise_overflow()
        return out[:steps]

    def check_out(self, out: Any, block: Array) -> None:
        """Raise a `SettingsError` unless the block's probabilities can be written to `out`."""
        expected = f"out: expected [{len(block)} or more, {self.scores.shape[1]}] of float32, contiguous and writeable"
        if not isinstance(out, np.ndarray):
            raise SettingsError(f"{expected}, got {type(out).__name__}; pass np.empty((steps, tags), np.float32)")
        fits = out.ndim == 2 and out.shape[1] == self.scores.shape[1] and len(out) >= len(block)
        if not fits or out.dtype != np.float32 or not out.flags.carray:
            problems = ("" if out.flags.c_contiguous else ", not contiguous") + (
                "" if out.flags.writeable else ", read-only"
            )
            raise SettingsError(f"{expected}, got {list(out.shape)} of {out.dtype}{problems}")
        if np.may_share_memory(block, out):
            raise SettingsError(f"{expected}, got memory that it shares with the block")
