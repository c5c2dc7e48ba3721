"""Layers without torch, run by the native library.

A state is an array `[n, S]` of float32, a row's elements one after the other, so that `state[rows]` reorders it. That
of a layer with a cache, such as a transformer, is `[n, S + C · cache_size]`: room for C items, which doubles when it is
full, up to the context. Arrays are float32 and contiguous; everything has the bits that PyTorch's side has when it
answers on its native back end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Batch
from stepscan.backends.native_arrays import Array, address, addresses, contiguous
from stepscan.errors import SettingsError


class NativeLayer:
    """A layer that runs on the native library.

    Args:
        native: the library's layer.
        signature: such as `LSTM(8 → 16)`, for messages.
        threads: number of threads per call, at most.
        blocking: the part that makes the layer not causal; empty if it is causal.
    """

    def __init__(self, native: Any, signature: str, threads: int = 1, blocking: str = "") -> None:
        self.native, self.signature, self.threads, self.blocking = native, signature, threads, blocking
        self.input_size: int = native.input_size
        self.output_size: int = native.output_size
        self.state_size: int = native.state_size
        self.cache_size: int = native.cache_size
        self.context: int = native.context
        self.causal: bool = native.causal
        self.condition_size: int = native.condition_size
        self.is_pointwise: bool = native.pointwise
        self.memories: tuple[int, ...] = ()  # as of a definition: a native layer attends to none

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> Array:
        """The state before any input, `[batch_size, S]` of float32, with an empty cache; device and dtype, which the
        layers of PyTorch need, are ignored."""
        return self._initial_states(batch_size, 0)

    def scan(self, inputs: Batch, state: Array | None = None) -> tuple[Batch, Array]:
        """Run whole sequences.

        Args:
            inputs: `[B, T, I]`.
            state: `[B, S]`; None: the initial state.

        Returns:
            The outputs `[B, T, O]`, zero in the padding, and the final state `[B, S]`.

        Raises:
            ValueError: the data have another width, or the lengths are not B numbers from 0 to T.
        """
        data, lengths = contiguous(inputs.data), np.ascontiguousarray(inputs.lengths, np.int64)
        rows, steps, width = data.shape
        self._check_width(width)
        if lengths.shape != (rows,) or (rows and not 0 <= lengths.min() <= lengths.max() <= steps):
            raise ValueError(f"lengths: expected {rows} numbers from 0 to {steps}, got {lengths}")
        state = self._copy_state(self.initial_state(rows) if state is None else state, rows, lengths)
        outputs = np.empty((rows, steps, self.output_size), np.float32)
        ends = address(state), self.capacity(state), address(outputs)
        self.native.scan(*addresses(data, lengths), rows, steps, *ends, self.threads)
        return inputs.replace(outputs, zeroed=True), state

    __call__ = scan

    def step(self, x: Array, state: Array) -> tuple[Array, Array]:
        """Run one item per row: `x` `[N, I]` and a state → outputs `[N, O]` and the next state. Mutates neither.

        Raises:
            SettingsError: the layer is not causal.
        """
        check_causal(self)
        x = contiguous(x)
        self._check_width(x.shape[1])
        state = self._copy_state(state, len(x), np.ones(len(x), np.int64))
        outputs = np.empty((len(x), self.output_size), np.float32)
        self.native.step(address(x), len(x), address(state), self.capacity(state), address(outputs), self.threads)
        return outputs, state

    def readout(self, state: Array) -> Array:
        """O of a final state: `[n, O]`."""
        state = contiguous(state)
        outputs = np.empty((len(state), self.output_size), np.float32)
        self.native.readout(address(state), len(state), self.capacity(state), address(outputs))
        return outputs

    def condition(self, vector: Array) -> Array:
        """`[n, condition_size]` → an initial state, cut from the vector; a transformer reads it as its first item.

        Raises:
            ValueError: it has another width.
        """
        vector = contiguous(vector)
        if vector.shape[1] != self.condition_size:
            raise ValueError(
                f"{self.signature}: expected a vector [N, {self.condition_size}], got {list(vector.shape)}"
            )
        state = self._initial_states(len(vector), 1)
        self.native.condition(*addresses(vector), len(vector), *addresses(state))
        return state

    def set_memory(self, state: Array, memory: Batch) -> Array:
        """The state; a native layer attends to no memory."""
        return state

    def capacity(self, state: Array) -> int:
        """Number of items that the cache of a state `[n, …]` has room for; 0 without a cache."""
        if self.cache_size:
            return (state.shape[1] - self.state_size) // self.cache_size
        return 0

    def is_state(self, state: Array) -> bool:
        """Whether the cache of a state `[n, …]` has room for exactly the items that it counts."""
        items, state = self.capacity(state), contiguous(state)
        return self.native.items_to_hold(*addresses(state), len(state), items, 0) == items

    def with_room(self, state: Array, items: int) -> Array:
        """A copy of a state whose cache has room for so many more items."""
        return self._copy_state(state, len(state), np.full(len(state), items, np.int64))

    def join(self, states: Sequence[Array]) -> Array:
        """The rows of several states as one state, with room in all caches for what the largest has room for."""
        capacity = max(map(self.capacity, states))
        return np.concatenate([self._resized(state, capacity) for state in states])

    def trimmed(self, state: Array) -> Array:
        """A copy of a state whose cache has room for the items that it holds and no others."""
        states = contiguous(state)
        held = self.native.items_to_hold(*addresses(states), len(states), self.capacity(states), 0)
        return self._resized(states, held)

    def _resized(self, state: Array, capacity: int) -> Array:
        """A copy of a state whose cache has room for `capacity` items, at least those that it holds."""
        state = contiguous(state)
        resized = np.zeros((len(state), self.state_size + capacity * self.cache_size), np.float32)
        ends = *addresses(state), self.capacity(state), len(state), *addresses(resized), capacity
        self.native.copy_states(*ends)
        return resized

    def _initial_states(self, rows: int, capacity: int) -> Array:
        """Initial states with room for so many items."""
        states = np.zeros((rows, self.state_size + capacity * self.cache_size), np.float32)
        self.native.initial_states(*addresses(states), rows, capacity)
        return states

    def _check_width(self, width: int) -> None:
        if width != self.input_size:
            raise ValueError(f"{self.signature}: expected inputs of size {self.input_size}, got {width}")

    def _copy_state(self, state: Array, rows: int, items: Array) -> Array:
        """A copy of a state of so many rows, whose cache has room for `items [rows]` more items."""
        capacity = self.capacity(state) if state.ndim == 2 else 0
        if state.shape != (rows, self.state_size + capacity * self.cache_size):
            raise ValueError(f"{self.signature}: expected a state [{rows}, {self.state_size}], got {list(state.shape)}")
        if not self.cache_size:
            return np.array(state, np.float32, order="C")
        state, items = contiguous(state), np.ascontiguousarray(items, np.int64)
        needed = self.native.items_to_hold(*addresses(state), rows, capacity, *addresses(items))
        if needed < 0:
            raise ValueError(
                f"{self.signature}: expected a state whose cache holds as many items as it counts, got more"
            )
        new_capacity = capacity if needed <= capacity else min(max(needed, 2 * capacity), self.native.context)
        return self._resized(state, new_capacity)


def check_causal(layer: Any) -> None:
    """Raise a `SettingsError` unless a layer is causal; it names the part that is not."""
    if not layer.causal:
        raise SettingsError(
            f"expected a causal layer, got {layer.blocking or layer.signature}, whose outputs depend on later items; "
            "use whole sequences, or train a model that is not bidirectional"
        )
