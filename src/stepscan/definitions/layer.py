"""What all layers have: sizes, and what a layer around them has to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from stepscan.backends.layers import NativeLayer
from stepscan.definitions.definition import Definition
from stepscan.state import State, leaves, map_state

if TYPE_CHECKING:
    from stepscan.backends.weights import Weights


class LayerDefinition(Definition):
    """Base of the definitions of layers: maps from sequences to sequences of the same lengths.

    Attributes:
        input_size: I.
        output_size: H.
        is_pointwise: whether each item is mapped on its own.
        is_idle: whether it does nothing except in training.
    """

    input_size: int
    output_size: int
    is_pointwise: ClassVar[bool] = False
    is_idle: ClassVar[bool] = False

    @property
    def signature(self) -> str:
        return f"{self.class_title}({self.input_size} → {self.output_size})"

    @property
    def causal(self) -> bool:
        """Whether no output depends on later items, so that the layer has a step."""
        return True

    @property
    def blocking(self) -> str:
        """The signature of the part that is not causal; empty if the layer is causal."""
        return "" if self.causal else self.signature

    @property
    def condition_size(self) -> int:
        """The number of elements that `condition` sets."""
        return 0

    @property
    def memories(self) -> tuple[int, ...]:
        """The size of an item of the memory of each layer in it that attends to one."""
        return ()

    @property
    def caches(self) -> bool:
        """Whether the state holds anything but a hidden state, such as a cache."""
        return False

    @property
    def has_kernel(self) -> bool:
        """Whether the native library has it as one layer; otherwise it runs on arrays as its definition says."""
        return True

    def bind(self, weights: Weights) -> Any:
        """The native layer, or, without a kernel for all of it, the definition on arrays."""
        if not self.has_kernel:
            return super().bind(weights)
        blocking = self.blocking
        return NativeLayer(self.native(weights), self.signature, weights.options.threads, blocking)

    def native(self, weights: Weights) -> Any:
        """The native library's layer, if `has_kernel`."""
        raise NotImplementedError(f"{type(self).__name__}: expected a native(weights) method; define it")

    def forward(self, *arguments: Any) -> Any:
        return self.scan(*arguments)

    def scan(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        """Whole sequences at once; see `stepscan.Layer.scan`."""
        raise NotImplementedError(f"{type(self).__name__}: expected a scan(inputs, state); define it")

    def check_input(self, inputs: Any) -> Any:
        """`inputs` with zeros in the padding.

        Raises:
            ValueError: they are not `[B, T, I]`.
        """
        self.check_shape(inputs)
        return inputs.zeroed()

    def check_shape(self, inputs: Any) -> None:
        """Raise a ValueError unless `inputs` are `[B, T, I]`."""
        if inputs.data.ndim != 3 or inputs.data.shape[2] != self.input_size:
            raise ValueError(
                f"{self.signature}: expected inputs [B, T, {self.input_size}], got {list(inputs.data.shape)}; "
                "check the size of the layer or embedding before it"
            )

    def check_condition(self, vector: Any) -> None:
        """Raise a ValueError unless `vector` is `[B, condition_size]`."""
        if vector.ndim != 2 or vector.shape[1] != self.condition_size:
            raise ValueError(
                f"{self.signature}: expected a condition [B, {self.condition_size}], got {list(vector.shape)}"
            )

    def zeros(self, batch_size: int, size: int, device: Any = None, dtype: Any = None) -> Any:
        """Zeros `[batch_size, size]`, of the type of the layer's weights where device and dtype are None."""
        return np.zeros((batch_size, size), np.float32)

    def weight_paths(self) -> list[str]:
        """The names of its trained tensors."""
        return list(self.tensor_specs)

    def with_room(self, state: State, items: int) -> State:
        """The state, in which caches of native layers have room for so many more items."""
        return state

    def set_memory(self, state: State, memory: Any) -> State:
        """The state with this memory `[B, S, M]`, in each layer in it that attends to one."""
        return state

    def readout(self, state: State) -> Any:
        """O of a final state: `[B, H]`, for a causal layer its last output. By default the state's first leaf, such as
        `h`."""
        return next(leaves(state))

    def renew(self, state: State) -> State:
        """The state with its noise (dropout masks that are constant over time) resampled."""
        return state


class CombinatorDefinition(LayerDefinition):
    """Base of the definitions of layers around layers, which are what these are.

    One that is causal exactly when its layers are has a `recurrent_class`, with the methods of a recurrence.
    """

    @classmethod
    def choose_class(cls, layers: Any) -> type:
        """The class of the object around these layers: the `recurrent_class` if all are causal."""
        causal = isinstance(layers, list | tuple) and all(getattr(layer, "causal", False) for layer in layers)
        return vars(cls).get("recurrent_class", cls) if causal and layers else cls

    @property
    def _layers(self) -> list[Any]:
        return [item for item in self.nested().values() if isinstance(item, LayerDefinition | NativeLayer)]

    @property
    def causal(self) -> bool:
        return all(layer.causal for layer in self._layers)

    @property
    def blocking(self) -> str:
        return next((layer.blocking for layer in self._layers if layer.blocking), "")

    @property
    def condition_size(self) -> int:
        return sum(layer.condition_size for layer in self._layers)

    @property
    def memories(self) -> tuple[int, ...]:
        return tuple(size for layer in self._layers for size in layer.memories)

    @property
    def caches(self) -> bool:
        return any(layer.caches for layer in self._layers)

    @property
    def has_kernel(self) -> bool:
        return all(layer.has_kernel for layer in self._layers)


def start(layer: Any, inputs: Any, state: State | None) -> State:
    """The state, or for None the initial state for a batch of inputs, on their device and in their dtype."""
    if state is not None:
        return state
    device = getattr(inputs.data, "device", None)  # arrays of NumPy 1 have none
    rows = inputs.data.shape[0]  # `len` would be a constant in a graph of torch.export
    return layer.initial_state(rows, device=device, dtype=inputs.data.dtype)


def scan_by_steps(layer: Any, inputs: Any, state: State | None) -> tuple[Any, State]:
    """A loop over `layer.step`, in which the state of a row does not change after its last item.

    Args:
        layer: a causal layer.
        inputs: `[B, T, I]`.
        state: None for the initial state.

    Returns:
        Outputs `[B, T, H]`, and the state after the last item of each row.
    """
    ops, inputs, outputs = layer.ops, layer.check_input(inputs), []
    state = layer.with_room(start(layer, inputs, state), inputs.steps)
    for t, x in enumerate(ops.time_steps(inputs.data)):
        y, new = layer.step(x, state)
        state = keep_old_where_ended(ops, t < inputs.lengths, new, state) if inputs.is_ragged else new
        outputs.append(y)
    if not outputs:
        return inputs.replace(ops.zeros(inputs.data, len(inputs), 0, layer.output_size), zeroed=True), state
    return inputs.replace(ops.stack(outputs, axis=1)).zeroed(), state


def keep_old_where_ended(ops: Any, running: Any, new: State, old: State) -> State:
    """`new` in the rows where `running [B]` is true, `old` in the others, by selection: a product with 0 keeps NaN."""

    def choose(n: Any, o: Any) -> Any:
        if n is o:
            return n
        if n.shape != o.shape:  # caches of different capacities
            n, o = pad_caches(ops, n, o)
        return ops.where(running.reshape(-1, *[1] * (n.ndim - 1)), n, o)

    return map_state(choose, new, old)


def pad_caches(ops: Any, first: Any, second: Any) -> tuple[Any, Any]:
    """Two caches `[B, C, …]`, padded with zeros to the larger of their capacities."""
    capacity = max(first.shape[1], second.shape[1])
    padded = [
        ops.concat([x, ops.zeros(x, len(x), capacity - x.shape[1], *x.shape[2:])], axis=1) for x in (first, second)
    ]
    return padded[0], padded[1]
