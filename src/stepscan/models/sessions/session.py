"""Base of all sessions: a state that each call replaces as a whole, by one thread at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, NoReturn, Self

import numpy as np

from stepscan.backends.batches import Array
from stepscan.data.example_checks import as_list
from stepscan.errors import SettingsError, StepscanError
from stepscan.kernels.native import library
from stepscan.models.sessions.saved_state import SavedState, read_state, write_state


class Session:
    """One sequence, read in pieces. `model.session()` makes one; it may be used from any thread.

    An error or Ctrl-C during a call leaves the session in its state before or after the call.

    Args:
        model: a runtime model.
    """

    _state: Any  # with a field `pending`: text at the end whose symbols depend on what follows

    def __init__(self, model: Any) -> None:
        self._model, self._network = model, model.network_
        self._own_lock = library.SessionLock()
        self._lock = library.SessionLocks([self._own_lock])

    def push(self, items: Any) -> Any:
        """Read more of the sequence; what is returned depends on the session's class.

        Raises:
            SettingsError: the items are not valid inputs of the model; the session is unchanged.
        """
        raise NotImplementedError

    def reset(self) -> None:
        """Start a new sequence."""
        with self._lock:
            self._state = self._initial_state()

    def state(self) -> bytes:
        """The serialised state, for `restore` of a session of the same model, also on another machine."""
        with self._lock:
            return write_state(self._model.fingerprint, self._tensors(self._state), self._state.pending)

    def restore(self, state: bytes) -> Self:
        """Continue from the `state` of a session.

        Raises:
            StepscanError: the bytes are not a session's state, are of another model (also one with other weights,
                labels or tokenizers), or have impossible values, such as NaN.
        """
        saved = read_state(state, self._model)
        with self._lock:
            restored = self._restored(saved)
            if saved.pending and self._split_pending("", saved.pending)[0]:
                raise StepscanError("state: expected the state of a session, got one with impossible pending text")
            self._state = restored
        return self

    def fork(self) -> Self:
        """A copy of the session in its present state, independent from here on."""
        raise NotImplementedError

    @property
    def nbytes(self) -> int:
        """Bytes that the session's state takes."""
        raise NotImplementedError

    def snapshot(self) -> Any:
        """The present state, for `return_to` of any session of the model; calls of the session do not change it."""
        with self._lock:
            return self._state

    def return_to(self, snapshot: Any) -> Self:
        """Continue from what `snapshot` of a session of the same model returned."""
        with self._lock:
            self._state = snapshot
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._model, self.state())

    def _split(self, piece: Any) -> tuple[Any, str]:
        """The items of the pending text and a piece that can be read now, and the text that remains pending."""
        return self._split_pending(self._state.pending, piece)

    # Hooks of the subclasses: ------------------------------------------------------------------------------------

    def _initial_state(self) -> Any:
        """The state before any input; does not overwrite the present one."""
        raise NotImplementedError

    def _split_pending(self, pending: str, items: Any) -> tuple[Any, str]:
        """The items, preceded by pending text, that can be read now, and the text that remains pending."""
        return items, ""

    def _tensors(self, state: Any) -> Mapping[str, Array]:
        """A state, except for the pending text, as named arrays to save."""
        raise NotImplementedError

    def _restored(self, saved: SavedState) -> Any:
        """The checked state of which these are the tensors and the pending text; does not overwrite the present one."""
        raise NotImplementedError

    @classmethod
    def _step_together(cls, model: Any, sessions: Sequence[Any], items: Sequence[Any]) -> list[Any]:
        """`step_batch` for at least one session, all of this class."""
        raise NotImplementedError

    @classmethod
    def _push_together(cls, model: Any, sessions: Sequence[Any], pieces: Sequence[Any]) -> list[Any]:
        """`push_batch` for at least one session, all of this class."""
        raise NotImplementedError


def _restore(session_class: type[Session], model: Any, state: bytes) -> Any:
    return session_class(model).restore(state)


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
    return type(sessions[0])._step_together(model, sessions, items)


def push_batch(model: Any, sessions: Sequence[Session], pieces: Sequence[Any]) -> list[Any]:
    """Push a piece to each of several sessions of a model in one batch; returns what each `push` returns, to the bit.

    Either all sessions read their piece or, if one is not valid, none does.

    Args:
        model: the model of the sessions.
        sessions: the sessions, each once.
        pieces: what `push` of each takes; short ones pay off, as the steps are made one after the other.

    Raises:
        SettingsError: there are not as many pieces as sessions, a session occurs twice or is of another model, or a
            piece is not valid.
    """
    sessions, pieces = as_list(sessions), as_list(pieces)
    _check_sessions(model, sessions, len(pieces))
    return type(sessions[0])._push_together(model, sessions, pieces) if sessions else []


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


def check_single(lengths: Array, items: Sequence[Any]) -> None:
    """Raise a `SettingsError` unless each item is exactly one, `lengths [N]` of 1."""
    invalid = np.flatnonzero(lengths != 1)
    if len(invalid):
        index = int(invalid[0])
        raise SettingsError(
            f"item {index + 1}: expected one item, got {lengths[index]}: {items[index]!r:.60}; use push for it"
        )


def locked(sessions: Sequence[Any]) -> Any:
    """A context in which no other thread uses the sessions."""
    return library.SessionLocks([session._own_lock for session in sessions])


def replace_states(sessions: Sequence[Any], states: Sequence[Any]) -> None:
    """Give each session its next state: all or, if a signal comes before, none."""
    deque(map(setattr, sessions, repeat("_state"), states), maxlen=0)  # a signal cannot interrupt it
