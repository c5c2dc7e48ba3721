"""Base of the sessions of one causal layer, whose state is in streams: the native library's, if the layer is native."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.layers import NativeLayer, check_causal
from stepscan.backends.native_arrays import address
from stepscan.backends.python_layers import PythonLayer, new_stream, push_streams
from stepscan.errors import SettingsError
from stepscan.models.sessions.joint_steps import flush_together, read_together
from stepscan.models.sessions.saved_state import SavedState
from stepscan.models.sessions.session import Session, check_single, locked, raise_overflow, replace_states

logger = logging.getLogger(__name__)
_LAYERS = "state"  # the name of the layers' state in a saved one


class SessionState(NamedTuple):
    """The state of a session between two pushes. The next state never overwrites it, so that a push that fails changes
    nothing."""

    stream: Any  # the layers' state
    accumulators: Mapping[str, Array]  # state of the session's class, such as sums for pooling; never mutated
    pending: str = ""  # text at the end whose symbols depend on what follows; not in the two fields above


class Snapshot(NamedTuple):
    """A copy of a session's state, which no step changes."""

    layers: Array  # [1, S]
    accumulators: Mapping[str, Array]
    pending: str

    @property
    def nbytes(self) -> int:
        """Its size in bytes, about."""
        return self.layers.nbytes + sum(array.nbytes for array in self.accumulators.values()) + len(self.pending)


class StreamSession(Session):
    """A session of a model that is one causal layer between its inputs and outputs.

    Args:
        model: a runtime model.

    Raises:
        SettingsError: the model is not causal; the layer is named.
    """

    _state: SessionState

    def __init__(self, model: Any) -> None:
        check_causal(layer := model.network_.layer)
        if not isinstance(layer, NativeLayer | PythonLayer):
            raise SettingsError(
                f"expected a model whose state is that of its layers alone, got {layer.signature}, which attends to a "
                "memory, or caches without a kernel; use whole sequences"
            )
        super().__init__(model)
        self._streams = self._new_stream(), self._new_stream()  # the present state's, and the next one's
        self._state = SessionState(self._streams[0], {})
        self.reset()

    def push(self, items: Any) -> Any:
        with self._lock:
            ready, pending = self._split(items)
            vectors = self._embed(self._model, [ready], "piece").data[0]
            outputs, state_after = self._advance(self._state, vectors, self._spare_stream, pending)
            output = self._output(outputs, self._flush(state_after))
            self._state = state_after
        return output

    def fork(self) -> Self:
        copy = type(self)(self._model)
        with self._lock:
            current = self._state
            copy._state = copy._new_state(layer_state(self._network, current), current.accumulators, current.pending)
        return copy

    def snapshot(self) -> Snapshot:
        with self._lock:
            current = self._state
            return Snapshot(layer_state(self._network, current), current.accumulators, current.pending)

    def return_to(self, snapshot: Snapshot) -> Self:
        with self._lock:
            self._state = self._new_state(*snapshot)
        return self

    @property
    def nbytes(self) -> int:
        """Bytes that the session's state takes."""
        return sum(stream.bytes for stream in self._streams) + sum(
            array.nbytes for array in self._state.accumulators.values()
        )

    # Hooks of the subclasses: ------------------------------------------------------------------------------------

    @staticmethod
    def _embed(model: Any, pieces: Sequence[Any], what: str) -> Batch:
        """The layers' inputs for several pieces; messages call one `what`."""
        raise NotImplementedError

    def _accumulate(self, accumulators: Mapping[str, Array], outputs: Array) -> Mapping[str, Array]:
        """The accumulators after the layers' outputs `[T, H]`; does not mutate those before."""
        return accumulators

    def _output(self, outputs: Array, state_after: SessionState) -> Any:
        """What `push` returns, given the layers' outputs for the new items, and the state after all text."""
        return self._batch_outputs(self._model, [state_after], outputs[-1:])[0]

    @classmethod
    def _piece_outputs(cls, model: Any, states: Sequence[SessionState], outputs: Sequence[Array]) -> list[Any]:
        """What `push_batch` returns, given each session's state after all text and its new outputs `[T_n, H]`."""
        return cls._batch_outputs(model, states, np.zeros(0))

    @classmethod
    def _batch_outputs(cls, model: Any, states: Sequence[SessionState], outputs: Array) -> list[Any]:
        """What `step_batch` returns, given each session's state and the layers' outputs `[N, H]`."""
        raise NotImplementedError

    # Common to all: ----------------------------------------------------------------------------------------------

    @property
    def _spare_stream(self) -> Any:
        """The stream that the present state does not use."""
        first, second = self._streams
        return second if self._state.stream is first else first

    def _new_stream(self) -> Any:
        return new_stream(self._network.layer)

    def _new_state(self, state: Array, accumulators: Mapping[str, Array], pending: str = "") -> SessionState:
        """A state with the layers' state `[1, S]`; does not overwrite the present one."""
        stream, state = self._spare_stream, np.ascontiguousarray(state, np.float32)
        stream.write(address(state), self._network.layer.capacity(state))
        return SessionState(stream, accumulators, pending)

    def _advance(
        self, before: SessionState, vectors: Array, stream: Any, pending: str = ""
    ) -> tuple[Array, SessionState]:
        """The layers' outputs for more items, and the state after them, which uses `stream`."""
        vectors = np.ascontiguousarray(vectors, np.float32)
        outputs = np.empty((len(vectors), self._network.layer.output_size), np.float32)
        stream.copy(before.stream)
        if not stream.push(vectors, outputs, self._model.threads):
            raise_overflow()
        return outputs, SessionState(stream, self._accumulate(before.accumulators, outputs), pending)

    def _flush(self, state: SessionState) -> SessionState:
        """The state after the pending text, as if nothing followed it."""
        if not state.pending:
            return state
        return self._advance(state, self._embed(self._model, [state.pending], "piece").data[0], self._new_stream())[1]

    def _tensors(self, state: SessionState) -> dict[str, Array]:
        return {_LAYERS: layer_state(self._network, state), **state.accumulators}

    def _restored(self, saved: SavedState) -> SessionState:
        saved.check({_LAYERS: self._network.layer}, self._initial_state().accumulators)
        accumulators = dict(saved.tensors)
        return self._new_state(accumulators.pop(_LAYERS), accumulators, saved.pending)

    @classmethod
    def _step_together(cls, model: Any, sessions: Sequence[Any], items: Sequence[Any]) -> list[Any]:
        network = model.network_
        batch = cls._embed(model, [_item_as_piece(model, item) for item in items], "item")
        check_single(batch.lengths, items)
        x = np.ascontiguousarray(batch.data[:, 0], np.float32)
        outputs = np.empty((len(x), network.layer.output_size), np.float32)
        with locked(sessions):
            states = [session._flush(session._state) for session in sessions]
            streams = [session._spare_stream for session in sessions]
            for stream, state in zip(streams, states, strict=True):
                stream.copy(state.stream)
            if (failed := push_streams(streams, x, outputs, model.threads)) >= 0:
                raise_overflow(f"item {failed + 1}: ")
            after = [
                SessionState(stream, session._accumulate(state.accumulators, output[None]))
                for session, stream, state, output in zip(sessions, streams, states, outputs, strict=True)
            ]
            results = cls._batch_outputs(model, after, outputs)
            replace_states(sessions, after)
        return results

    @classmethod
    def _push_together(cls, model: Any, sessions: Sequence[Any], pieces: Sequence[Any]) -> list[Any]:
        with locked(sessions):
            split = [session._split(piece) for session, piece in zip(sessions, pieces, strict=True)]
            vectors = cls._embed(model, [ready for ready, _ in split], "item")
            before = [session._state for session in sessions]
            streams = [session._spare_stream for session in sessions]
            after, outputs = read_together(sessions, before, streams, vectors, [rest for _, rest in split])
            results = cls._piece_outputs(model, flush_together(sessions, after), outputs)
            replace_states(sessions, after)
        return results


def layer_state(network: Any, session_state: SessionState) -> Array:
    """The layers' state `[1, S]`; a cache has room for the items that it holds."""
    layer, items = network.layer, session_state.stream.items
    state = np.empty((1, layer.state_size + items * layer.cache_size), np.float32)
    session_state.stream.read(address(state), items)
    return state


def embedded(model: Any, rows: Any) -> Batch:
    """The layers' inputs `[N, T, E]` for rows of a model's inputs."""
    return model.network_.embed(model.network_.batch(rows))


def warn_without_wide() -> None:
    """Warn that a session does not use the model's wide part."""
    logger.warning(
        "a session uses the network alone, without the model's wide part; its outputs differ from those of predict"
    )


def _item_as_piece(model: Any, item: Any) -> Any:
    """One item as a piece of a sequence: a step `[D]` as `[1, D]`; a text is one already."""
    if model.tokenizers_:
        return item
    return np.atleast_1d(item)[None] if np.ndim(item) < 2 else item
