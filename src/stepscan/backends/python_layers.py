"""Layers that run on arrays in Python, with the states and streams of native ones: so that sessions go over both."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Batch
from stepscan.backends.layers import NativeLayer
from stepscan.backends.native_arrays import Array
from stepscan.kernels.native import library
from stepscan.state import leaves

__all__ = ["PythonLayer", "PythonStream", "new_stream", "push_streams", "streaming"]


class PythonLayer:
    """A causal layer whose state, a tree of arrays `[n, …]` of fixed widths, is one array `[n, S]`; see `NativeLayer`.

    Args:
        layer: a bound definition.
    """

    native = None
    cache_size = context = 0
    causal, is_pointwise, blocking = True, False, ""
    memories: tuple[int, ...] = ()

    def __init__(self, layer: Any) -> None:
        self.layer, self.signature = layer, layer.signature
        self.input_size, self.output_size = layer.input_size, layer.output_size
        self.condition_size = layer.condition_size
        self._like = layer.initial_state(1)
        self._ends = np.cumsum([leaf.shape[1] for leaf in leaves(self._like)])
        self.state_size = int(self._ends[-1])

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> Array:
        """See `NativeLayer.initial_state`."""
        return self._joined(self.layer.initial_state(batch_size))

    def scan(self, inputs: Batch, state: Array | None = None) -> tuple[Batch, Array]:
        """See `NativeLayer.scan`."""
        outputs, final = self.layer.scan(inputs, None if state is None else self._split(state))
        return outputs, self._joined(final)

    __call__ = scan

    def step(self, x: Array, state: Array) -> tuple[Array, Array]:
        """See `NativeLayer.step`."""
        y, final = self.layer.step(x, self._split(state))
        return y, self._joined(final)

    def readout(self, state: Array) -> Array:
        """See `NativeLayer.readout`."""
        return np.asarray(self.layer.readout(self._split(state)))

    def condition(self, vector: Array) -> Array:
        """See `NativeLayer.condition`."""
        return self._joined(self.layer.condition(vector))

    def set_memory(self, state: Array, memory: Batch) -> Array:
        """The state; the layer attends to no memory."""
        return state

    def capacity(self, state: Array) -> int:
        """0: there is no cache."""
        return 0

    def with_room(self, state: Array, items: int) -> Array:
        """A copy of the state."""
        return state.copy()

    def join(self, states: Sequence[Array]) -> Array:
        """The rows of several states as one state."""
        return np.concatenate(list(states))

    def trimmed(self, state: Array) -> Array:
        """A copy of the state."""
        return state.copy()

    def _joined(self, state: Any) -> Array:
        return np.concatenate([np.asarray(leaf, np.float32) for leaf in leaves(state)], axis=1)

    def _split(self, state: Array) -> Any:
        parts = iter(np.split(np.asarray(state, np.float32), self._ends[:-1], axis=1))
        return _like(self._like, parts)


class PythonStream:
    """The state of one sequence of a `PythonLayer`; has the methods of the native library's streams.

    Attributes:
        items: what a cache holds, none.
    """

    items = 0

    def __init__(self, layer: PythonLayer) -> None:
        self._layer, self._state = layer, layer.initial_state(1)

    @property
    def bytes(self) -> int:
        """Bytes of the state."""
        return self._state.nbytes

    def write(self, source: int, capacity: int) -> None:
        """Set the state to that at an address."""
        self._state = self._at(source).copy()

    def read(self, target: int, items: int) -> None:
        """Copy the state to an address."""
        self._at(target)[:] = self._state

    def copy(self, other: PythonStream) -> None:
        """Set the state to that of another stream."""
        self._state = other._state

    def push(self, vectors: Array, outputs: Array, threads: int) -> bool:
        """Read vectors `[T, E]` and write outputs `[T, H]`; whether all numbers are finite. Only then is the state
        another."""
        if not len(vectors):
            return True
        batch, state = self._layer.scan(Batch(vectors[None], np.array([len(vectors)])), self._state)
        outputs[: len(vectors)] = batch.data[0]
        if not (np.isfinite(state).all() and np.isfinite(batch.data).all()):
            return False
        self._state = state
        return True

    def _at(self, address: int) -> Array:
        size = self._layer.state_size
        return np.ctypeslib.as_array((ctypes.c_float * size).from_address(address)).reshape(1, size)


def streaming(layer: Any) -> Any:
    """A layer for sessions: one that runs in Python as a `PythonLayer` if its state allows that, others as they are."""
    if isinstance(layer, NativeLayer) or not layer.causal or layer.memories or not hasattr(layer, "initial_state"):
        return layer
    if any(getattr(leaf, "ndim", 0) != 2 for leaf in leaves(layer.initial_state(1))) or _has_caches(layer):
        return layer
    return PythonLayer(layer)


def new_stream(layer: Any) -> Any:
    """A stream of a layer's state, in the native library if the layer is."""
    return PythonStream(layer) if isinstance(layer, PythonLayer) else library.Stream(layer.native)


def push_streams(streams: Sequence[Any], x: Array, y: Array, threads: int) -> int:
    """Push one vector of `x [N, E]` to each stream and write the outputs `[N, H]`; the first row whose numbers are not
    finite, or −1."""
    if not isinstance(streams[0], PythonStream):
        return int(library.push_many(streams, x.ctypes.data, y.ctypes.data, threads))
    for row, stream in enumerate(streams):
        if not stream.push(x[row : row + 1], y[row : row + 1], threads):
            return row
    return -1


def _has_caches(layer: Any) -> bool:
    if isinstance(layer, NativeLayer):
        return bool(layer.cache_size)
    inner = getattr(layer, "layers", None) or [getattr(layer, "layer", None)]
    return any(_has_caches(one) for one in inner if one is not None)


def _like(state: Any, parts: Any) -> Any:
    """A state of the same structure, of other leaves."""
    if not isinstance(state, tuple):
        return next(parts)
    inner = [_like(field, parts) for field in state]
    return type(state)(*inner) if hasattr(state, "_fields") else tuple(inner)
