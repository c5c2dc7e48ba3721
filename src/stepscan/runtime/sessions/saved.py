"""The bytes that a session's state is saved as, and what must hold of them: anybody may have written them."""

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

_MODEL, _LAYERS, _HELD = "model", "state", "held"  # names in the bytes, beside what a kind of session keeps
_MOST_STEPS = 2**53


class Saved(NamedTuple):
    """A session's state."""

    layers: Array  # [1, S]
    kept: Mapping[str, Array]
    held: str

    def check(self, layer: Layer, beginning: Mapping[str, Array]) -> None:
        """Raise unless it is the state of a session of the layers, that keeps such arrays as there are at its
        beginning."""
        width = self.layers.shape[1] if self.layers.ndim == 2 else 0
        items = max(0, width - layer.state_size) // max(1, layer.cache_size)
        size = layer.state_size + min(items, layer.native.context) * layer.cache_size
        expected = {_LAYERS: f"float32 {[1, size]}", **{k: _kind(a) for k, a in beginning.items()}}
        arrays = {_LAYERS: self.layers, **self.kept}
        got = {name: _kind(array) for name, array in arrays.items()}
        for name in expected | got:
            if expected.get(name) != got.get(name):
                _refuse(f"{name!r}: expected {expected.get(name, 'nothing')}, got {got.get(name, 'nothing')}")
        for name, array in arrays.items():
            untouched = name in beginning and np.array_equal(array, beginning[name])
            if not untouched and not np.isfinite(array).all():
                _refuse(f"{name!r}: expected finite numbers, got {array[~np.isfinite(array)][0]}")
        if layer.cache_size and not layer.is_state(self.layers):
            _refuse(f"{_LAYERS!r}: expected a count of the items that it has room for")
        for name in {"steps", "weight"} & set(self.kept):
            if not 0 <= self.kept[name][0] <= _MOST_STEPS:
                _refuse(f"{name!r}: expected a number from 0 to {_MOST_STEPS:,}, got {self.kept[name][0]}")


def write_saved(fingerprint: bytes, layers: Array, kept: Mapping[str, Array], held: str) -> bytes:
    """The bytes of a state of a session of the model with this fingerprint."""
    model, text = (np.frombuffer(part, np.uint8) for part in (fingerprint, held.encode()))
    return write_tensors({_MODEL: model, _LAYERS: layers, _HELD: text, **kept})


def read_saved(state: Any, model: Any) -> Saved:
    """The state of a session of the model that is saved in bytes.

    Raises:
        StepscanError: they are of something else, or of another model.
    """
    if not isinstance(state, bytes | bytearray | memoryview):
        raise SettingsError(f"expected the bytes that a session's state() gave, got {type(state).__name__}")
    try:
        tensors = read_tensors(bytes(state))
        saved_for, held = tensors.pop(_MODEL).tobytes(), tensors.pop(_HELD, np.zeros(0, np.uint8)).tobytes().decode()
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise StepscanError(
            f"these {len(state)} bytes are not a state of a session: {error}; expected what its state() gave"
        ) from None
    if saved_for != model.fingerprint:
        raise StepscanError(
            f"this is the state of a session of another model than {model.path}, or of one with other weights, labels "
            "or tokenizers; restore it in a session of the model that it was taken of"
        )
    if _LAYERS not in tensors:
        _refuse(f"{_LAYERS!r} is missing")
    return Saved(tensors.pop(_LAYERS), tensors, held)


def _kind(array: Array) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _refuse(reason: str) -> None:
    raise StepscanError(f"these bytes are not a whole state of a session of this kind: {reason}")
