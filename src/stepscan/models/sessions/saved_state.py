"""Serialisation of a session's state; reading treats the bytes as untrusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from stepscan.backends.batches import Array
from stepscan.backends.layers import NativeLayer
from stepscan.errors import SettingsError, StepscanError

_MODEL, _HELD = "model", "held"  # names of tensors, in addition to those of the session's class
_MOST_STEPS = 2**53


class SavedState(NamedTuple):
    """A session's state, as it is saved."""

    tensors: Mapping[str, Array]
    pending: str

    def check(self, layers: Mapping[str, NativeLayer], others: Mapping[str, Array]) -> None:
        """Raise a `StepscanError` unless the tensors are states `[1, S]` of `layers`, and arrays of the names, shapes
        and dtypes of `others`, an initial state; all finite, except for values of the initial state itself."""
        for name in layers:
            if name not in self.tensors:
                reject(f"{name!r} is missing")
        states = {name: f"float32 {[1, _state_size(layer, self.tensors[name])]}" for name, layer in layers.items()}
        expected = {**states, **{k: describe_array(a) for k, a in others.items()}}
        actual = {name: describe_array(array) for name, array in self.tensors.items()}
        for name in expected | actual:
            if expected.get(name) != actual.get(name):
                reject(f"{name!r}: expected {expected.get(name, 'nothing')}, got {actual.get(name, 'nothing')}")
        for name, array in self.tensors.items():
            untouched = name in others and np.array_equal(array, others[name])
            if not untouched and not np.isfinite(array).all():
                reject(f"{name!r}: expected finite numbers, got {array[~np.isfinite(array)][0]}")
        for name, layer in layers.items():
            if layer.cache_size and not layer.is_state(self.tensors[name]):
                reject(f"{name!r}: expected a count of the items that its cache holds, got another")
        for name in {"steps", "weight"} & set(others):
            if not 0 <= self.tensors[name][0] <= _MOST_STEPS:
                reject(f"{name!r}: expected a number from 0 to {_MOST_STEPS:,}, got {self.tensors[name][0]}")


def _state_size(layer: NativeLayer, state: Array) -> int:
    """The size of a state of `layer` with a cache as long as that of `state`."""
    width = state.shape[1] if state.ndim == 2 else 0
    items = max(0, width - layer.state_size) // max(1, layer.cache_size)
    return layer.state_size + min(items, layer.context) * layer.cache_size


def write_state(fingerprint: bytes, tensors: Mapping[str, Array], pending: str) -> bytes:
    """Serialise a session's state with the fingerprint of its model."""
    model, text = (np.frombuffer(part, np.uint8) for part in (fingerprint, pending.encode()))
    return write_tensors({_MODEL: model, _HELD: text, **tensors})


def read_state(state: Any, model: Any) -> SavedState:
    """Parse the bytes of a session's state.

    Raises:
        SettingsError: `state` is not bytes.
        StepscanError: the bytes are not a session's state, or are of another model.
    """
    if not isinstance(state, bytes | bytearray | memoryview):
        raise SettingsError(f"state: expected bytes that a session's state() returned, got {type(state).__name__}")
    try:
        tensors = read_tensors(bytes(state))
        fingerprint, pending = (
            tensors.pop(_MODEL).tobytes(),
            tensors.pop(_HELD, np.zeros(0, np.uint8)).tobytes().decode(),
        )
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise StepscanError(
            f"state: expected bytes that a session's state() returned, got {len(state)} others: {error}"
        ) from None
    if fingerprint != model.fingerprint:
        raise StepscanError(
            f"state: expected that of a session of {model.path}, got one of another model, or one with other "
            "weights, labels or tokenizers; restore it in a session of the same model"
        )
    return SavedState(tensors, pending)


def describe_array(array: Array) -> str:
    """The dtype and the shape, for messages."""
    return f"{array.dtype} {list(array.shape)}"


def reject(reason: str) -> NoReturn:
    """Raise a `StepscanError` for tensors that are not a session's state."""
    raise StepscanError(f"state: expected that of a session of the same class, got another: {reason}")
