"""Serialisation of a session's state; reading treats the bytes as untrusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from stepscan.errors import SettingsError, StepscanError
from stepscan.runtime.batches import Array
from stepscan.runtime.layers import Layer

_MODEL, _LAYERS, _HELD = "model", "state", "held"  # names of tensors, in addition to the accumulators
_MOST_STEPS = 2**53


class SavedState(NamedTuple):
    """A session's state, as it is saved."""

    layers: Array  # [1, S]
    accumulators: Mapping[str, Array]
    pending: str

    def check(self, layer: Layer, initial: Mapping[str, Array]) -> None:
        """Raise a `StepscanError` unless the state is one of a session with states of `layer` and accumulators of the
        shapes and dtypes of its initial ones."""
        width = self.layers.shape[1] if self.layers.ndim == 2 else 0
        items = max(0, width - layer.state_size) // max(1, layer.cache_size)
        size = layer.state_size + min(items, layer.native.context) * layer.cache_size
        expected = {_LAYERS: f"float32 {[1, size]}", **{k: _describe(a) for k, a in initial.items()}}
        arrays = {_LAYERS: self.layers, **self.accumulators}
        actual = {name: _describe(array) for name, array in arrays.items()}
        for name in expected | actual:
            if expected.get(name) != actual.get(name):
                _reject(f"{name!r}: expected {expected.get(name, 'nothing')}, got {actual.get(name, 'nothing')}")
        for name, array in arrays.items():
            untouched = name in initial and np.array_equal(array, initial[name])
            if not untouched and not np.isfinite(array).all():
                _reject(f"{name!r}: expected finite numbers, got {array[~np.isfinite(array)][0]}")
        if layer.cache_size and not layer.is_state(self.layers):
            _reject(f"{_LAYERS!r}: expected a count of the items that its cache holds, got another")
        for name in {"steps", "weight"} & set(self.accumulators):
            if not 0 <= self.accumulators[name][0] <= _MOST_STEPS:
                _reject(f"{name!r}: expected a number from 0 to {_MOST_STEPS:,}, got {self.accumulators[name][0]}")


def write_state(fingerprint: bytes, layers: Array, accumulators: Mapping[str, Array], pending: str) -> bytes:
    """Serialise a session's state with the fingerprint of its model."""
    model, text = (np.frombuffer(part, np.uint8) for part in (fingerprint, pending.encode()))
    return write_tensors({_MODEL: model, _LAYERS: layers, _HELD: text, **accumulators})


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
    if _LAYERS not in tensors:
        _reject(f"{_LAYERS!r} is missing")
    return SavedState(tensors.pop(_LAYERS), tensors, pending)


def _describe(array: Array) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _reject(reason: str) -> None:
    raise StepscanError(f"state: expected that of a session of the same class, got another: {reason}")
