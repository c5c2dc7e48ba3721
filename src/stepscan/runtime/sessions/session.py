"""What sessions of every kind are: a state, a lock, and what is kept beside it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from stepscan.errors import StepscanError
from stepscan.kernels.native import library
from stepscan.runtime.layers import Array, address
from stepscan.runtime.series import checked_series

_MODEL, _STATE = "model", "state"  # names in a saved session, beside what its kind keeps


class Session:
    """A sequence that is going on. `model.session()` makes one; it may be used from any thread.

    Args:
        model: of the runtime.

    Raises:
        SettingsError: the model cannot go one step at a time; the layer that is to blame is named.
    """

    def __init__(self, model: Any) -> None:
        model.network_.layer.check_causal()
        self._model, self._network = model, model.network_
        self._stream = library.Stream(self._network.layer.native)
        self._lock = threading.Lock()
        self._kept: dict[str, Array] = {}
        self.reset()

    def push(self, items: Any) -> Any:
        """Read more of the sequence, and say what comes of it: see the session's kind."""
        vectors = self._vectors(self._model, [items])[0]
        with self._lock:
            return self._answer(self._pushed(vectors))

    def reset(self) -> None:
        """Begin a new sequence."""
        with self._lock:
            self._write(np.zeros((1, self._network.layer.state_size), np.float32))
            self._begin()

    def state(self) -> bytes:
        """All that is needed to go on, on another machine too: `restore` takes it, of a session of the same model."""
        with self._lock:
            model = np.frombuffer(self._model.fingerprint, np.uint8)
            return write_tensors({_MODEL: model, _STATE: self._read(), **self._kept})

    def restore(self, state: bytes) -> Self:
        """Go on from where a session was when its `state` was taken.

        Raises:
            StepscanError: the bytes are no session's state, or one of another model.
        """
        try:
            tensors = read_tensors(state)
        except (SafetensorError, TypeError, ValueError, KeyError) as error:
            raise StepscanError(f"these {len(state)} bytes are no state of a session: {error}") from None
        model, saved = tensors.pop(_MODEL, None), tensors.pop(_STATE, None)
        if model is None or model.tobytes() != self._model.fingerprint:
            raise StepscanError(f"this is the state of a session of another model than {self._model.path}")
        with self._lock:
            expected = {name: (array.shape, array.dtype) for name, array in self._kept.items()}
            found = {name: (array.shape, array.dtype) for name, array in tensors.items()}
            shape = (1, self._network.layer.state_size)
            if saved is None or (saved.shape, saved.dtype) != (shape, np.float32) or found != expected:
                raise StepscanError(
                    "these bytes are no whole state of a session of this kind: an array is not as expected"
                )
            self._write(saved)
            self._kept = {name: array.copy() for name, array in tensors.items()}
        return self

    def fork(self) -> Self:
        """A second session that has read what this one has; from here on they go their own ways."""
        twin = type(self)(self._model)
        with self._lock:
            twin._write(self._read())
            twin._kept = {name: array.copy() for name, array in self._kept.items()}
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._model, self.state())

    # What a kind of session writes: ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Put what is kept beside the layers' state at its beginning."""

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any]) -> Array:
        """What the layers read: `[N, T, E]` for N pieces of equal length."""
        raise NotImplementedError

    def _keep(self, outputs: Array) -> None:
        """Take note of the layers' outputs `[T, H]` for the items just read."""

    def _answer(self, outputs: Array) -> Any:
        """What `push` returns, given the same outputs."""
        return self._answers(self._model, [self], outputs[-1:])[0]

    @classmethod
    def _answers(cls, model: Any, sessions: Sequence[Any], outputs: Array) -> list[Any]:
        """What `step_many` returns, given an output `[N, H]` for each session."""
        raise NotImplementedError

    def _pushed(self, vectors: Array) -> Array:
        vectors = np.ascontiguousarray(vectors, np.float32)
        outputs = np.empty((len(vectors), self._network.layer.output_size), np.float32)
        self._stream.push(vectors, outputs, self._model.threads)
        self._keep(outputs)
        return outputs

    def _read(self) -> Array:
        state = np.empty((1, self._network.layer.state_size), np.float32)
        self._stream.read(address(state))
        return state

    def _write(self, state: Array) -> None:
        state = np.ascontiguousarray(state, np.float32)
        self._stream.write(address(state))


def _restored(model: Any, state: bytes) -> Any:
    return model.session().restore(state)


def pieces_of_series(model: Any, several: Sequence[Any]) -> list[Array]:
    """Pieces of series, checked; they may be empty."""
    size = model.network_.embedding.size
    return [one if len(one) else np.zeros((0, size)) for one in checked_series(several, size)]
