"""Base of all sessions: a state that each call replaces as a whole, by one thread at a time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from stepscan.errors import SettingsError, StepscanError
from stepscan.kernels.native import library
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.examples import as_list
from stepscan.runtime.native_arrays import address
from stepscan.runtime.sessions.saved_state import read_state, write_state

logger = logging.getLogger(__name__)


class SessionState(NamedTuple):
    """The state of a session between two pushes. The next state never overwrites it, so that a push that fails changes
    nothing."""

    stream: Any  # the layers' state
    accumulators: Mapping[str, Array]  # state of the session's class, such as sums for pooling; never mutated
    pending: str = ""  # text at the end whose symbols depend on what follows; not in the two fields above


class Session:
    """One sequence, read in pieces. `model.session()` makes one; it may be used from any thread.

    An error or Ctrl-C during a call leaves the session in its state before or after the call.

    Args:
        model: a runtime model.

    Raises:
        SettingsError: the model is not causal; the layer is named.
    """

    def __init__(self, model: Any) -> None:
        model.network_.layer.check_causal()
        self._model, self._network = model, model.network_
        self._streams = self._new_stream(), self._new_stream()  # the present state's, and the next one's
        self._own_lock = library.SessionLock()
        self._lock = library.SessionLocks([self._own_lock])
        self._state = SessionState(self._streams[0], {})
        self.reset()

    def push(self, items: Any) -> Any:
        """Read more of the sequence; what is returned depends on the session's class.

        Raises:
            SettingsError: the items are not valid inputs of the model; the session is unchanged.
        """
        with self._lock:
            ready, pending = self._split_pending(self._state.pending, items)
            vectors = self._embed(self._model, [ready], "piece").data[0]
            outputs, state_after = self._advance(self._state, vectors, self._spare_stream, pending)
            output = self._output(outputs, self._flush(state_after))
            self._state = state_after
        return output

    def reset(self) -> None:
        """Start a new sequence."""
        with self._lock:
            self._state = self._initial_state()

    def state(self) -> bytes:
        """The serialised state, for `restore` of a session of the same model, also on another machine."""
        with self._lock:
            current = self._state
            layers = layer_state(self._network, current)
            return write_state(self._model.fingerprint, layers, current.accumulators, current.pending)

    def restore(self, state: bytes) -> Self:
        """Continue from the `state` of a session.

        Raises:
            StepscanError: the bytes are not a session's state, are of another model (also one with other weights,
                labels or tokenizers), or have impossible values, such as NaN.
        """
        saved = read_state(state, self._model)
        with self._lock:
            saved.check(self._network.layer, self._initial_state().accumulators)
            if saved.pending and self._split_pending("", saved.pending)[0]:
                raise StepscanError("state: expected the state of a session, got one with impossible pending text")
            self._state = self._new_state(saved.layers, saved.accumulators, saved.pending)
        return self

    def fork(self) -> Self:
        """A copy of the session in its present state, independent from here on."""
        copy = type(self)(self._model)
        with self._lock:
            current = self._state
            copy._state = copy._new_state(layer_state(self._network, current), current.accumulators, current.pending)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._model, self.state())

    # Hooks of the subclasses: ------------------------------------------------------------------------------------

    def _initial_state(self) -> SessionState:
        """The state before any input; does not overwrite the present one."""
        raise NotImplementedError

    def _split_pending(self, pending: str, items: Any) -> tuple[Any, str]:
        """The items, preceded by pending text, that can be read now, and the text that remains pending."""
        return items, ""

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
        return library.Stream(self._network.layer.native)

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


def _restore(model: Any, state: bytes) -> Any:
    return model.session().restore(state)


def layer_state(network: Any, session_state: SessionState) -> Array:
    """The layers' state `[1, S]`; a cache has room for the items that it holds."""
    layer, items = network.layer, session_state.stream.items
    state = np.empty((1, layer.state_size + items * layer.cache_size), np.float32)
    session_state.stream.read(address(state), items)
    return state


def warn_without_wide() -> None:
    """Warn that a session does not use the model's wide part."""
    logger.warning(
        "a session uses the network alone, without the model's wide part; its outputs differ from those of predict"
    )


def raise_overflow(where: str = "") -> NoReturn:
    """Raise a `SettingsError` for inputs after which a session's state is not finite; `where` precedes the message."""
    raise SettingsError(
        f"{where}expected inputs that the model can take, got numbers so large that its state would not be finite; "
        "the session is unchanged"
    )


# Several sessions in one batch ----------------------------------------------------------------------------------------


def step_batch(model: Any, sessions: Sequence[Session], items: Sequence[Any]) -> list[Any]:
    """Push one item to each of several sessions of a model in one batch; returns what each `push` would return.

    Either all sessions read their item or, if one item is not valid, none does. An item is complete: it does not join
    with text before or after it, as pieces of text do.

    Args:
        model: the model of the sessions.
        sessions: the sessions, each once.
        items: a token, a symbol, a word or a step `[D]` for each.

    Raises:
        SettingsError: there are not as many items as sessions, a session occurs twice or is of another model, or an
            item is not exactly one, or not finite numbers.
    """
    sessions, items = as_list(sessions), as_list(items)
    _check_sessions(model, sessions, len(items))
    if not sessions:
        return []
    session_class, network = type(sessions[0]), model.network_
    x = _single_items(session_class._embed(model, [_item_as_piece(model, item) for item in items], "item"), items)
    outputs = np.empty((len(x), network.layer.output_size), np.float32)
    with library.SessionLocks([session._own_lock for session in sessions]):
        states = [session._flush(session._state) for session in sessions]
        streams = [session._spare_stream for session in sessions]
        for stream, state in zip(streams, states, strict=True):
            stream.copy(state.stream)
        if (failed := library.push_many(streams, address(x), address(outputs), model.threads)) >= 0:
            raise_overflow(f"item {failed + 1}: ")
        after = [
            SessionState(stream, session._accumulate(state.accumulators, output[None]))
            for session, stream, state, output in zip(sessions, streams, states, outputs, strict=True)
        ]
        results = session_class._batch_outputs(model, after, outputs)
        deque(map(setattr, sessions, repeat("_state"), after), maxlen=0)  # a signal cannot interrupt it
    return results


def _check_sessions(model: Any, sessions: Sequence[Any], item_count: int) -> None:
    if item_count != len(sessions) or len(set(map(id, sessions))) != len(sessions):
        raise SettingsError(
            f"expected an item for each session, each session once, got {item_count} and {len(sessions)}"
        )
    for number, session in enumerate(sessions, start=1):
        if not isinstance(session, Session):
            raise SettingsError(f"session {number}: expected a session of this model, got {session!r}")
        if session._model is not model:
            raise SettingsError(
                f"session {number}: expected a session of this model, got another; call step_batch for each model"
            )


def _item_as_piece(model: Any, item: Any) -> Any:
    """One item as a piece of a sequence: a step `[D]` as `[1, D]`; a text is one already."""
    if model.tokenizers_:
        return item
    return np.atleast_1d(item)[None] if np.ndim(item) < 2 else item


def _single_items(vectors: Batch, items: Sequence[Any]) -> Array:
    """The layers' inputs `[N, E]` for items, each of which must be exactly one."""
    invalid = np.flatnonzero(vectors.lengths != 1)
    if len(invalid):
        index = int(invalid[0])
        raise SettingsError(
            f"item {index + 1}: expected one item, got {vectors.lengths[index]}: {items[index]!r:.60}; use push for it"
        )
    return np.ascontiguousarray(vectors.data[:, 0], np.float32)
