"""The contract: what every layer is, and how little it takes to write one.

A recurrent network is two functions and an initial state (Goldberg 2017, ch. 14):

    state_t = R(state_{t-1}, x_t)        y_t = O(state_t)

`Recurrence.step` computes both at once; `scan` runs it over whole sequences. A new cell defines `initial_state` and
`step` and inherits everything else. `stepscan.laws` tests that `scan`, `step`, `readout` and states agree.

Dimension letters: B batch, T time, I input size, H output (hidden) size.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from stepscan.definitions.layer import LayerDefinition, scan_by_steps, start
from stepscan.kernels import programs, scan_operator
from stepscan.modules import Module
from stepscan.sequences import Sequences
from stepscan.state import State, leaves, map_state

__all__ = ["Layer", "Pointwise", "Recurrence"]

# Of a definition; an attribute of the same name would be hidden by it, or hide it.
_DEFINED = frozenset(
    (
        *("apply_dropout", "bind", "blocking", "caches", "causal", "class_title", "derive", "has_kernel", "memories"),
        *("native", "nested", "ops", "parts", "tensor_specs", "values_per_item", "weight_paths", "with_room"),
    )
)


class Layer(LayerDefinition, Module):
    """A map from sequences to sequences of the same lengths. It has parameters, but no call keeps state or changes an
    argument.

    Attributes:
        input_size: I.
        output_size: H.
        registered_name: the name given to `stepscan.register`.
        arguments: the constructor's arguments, by name.
    """

    input_size: int
    output_size: int
    registered_name: ClassVar[str]
    arguments: dict[str, Any]

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Whole sequences at once.

        Args:
            inputs: `[B, T, I]`.
            state: the state to start from; None for the initial state.

        Returns:
            Outputs `[B, T, H]`, and the state after the last item of each row.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected a scan(inputs, state); define it")

    def forward(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Calls `scan`, so that PyTorch's hooks run."""
        return self.scan(inputs, state)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _DEFINED:
            raise AttributeError(
                f"{type(self).__name__}: expected another name than {name!r}, which every layer defines; call the "
                f"attribute, for example, {name}_"
            )
        super().__setattr__(name, value)

    @property
    def causal(self) -> bool:
        """Whether the layer has a step."""
        return isinstance(self, Recurrence)

    @property
    def caches(self) -> bool:
        """Whether the state has a leaf that is not `[B, H]` of floating-point numbers, such as a cache."""
        states = leaves(self.initial_state(1)) if isinstance(self, Recurrence) else ()
        return not all(leaf.is_floating_point() and leaf.dim() == 2 for leaf in states)

    @property
    def memories(self) -> tuple[int, ...]:
        """The size of an item of the memory of each layer in it that attends to one."""
        return tuple(size for child in self.children() if isinstance(child, Layer) for size in child.memories)

    def weight_paths(self) -> list[str]:
        """The names of its parameters."""
        return [name for name, _ in self.named_parameters()]


class Recurrence(Layer):
    """A causal layer that can also run one step at a time. Define `initial_state` and `step`; the rest is inherited."""

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """The state before the first item; every leaf is `[B, …]`.

        Args:
            batch_size: B.
            device: None for that of the parameters.
            dtype: None for that of the parameters.
        """
        raise NotImplementedError(
            f"{type(self).__name__}: expected an initial_state(batch_size, *, device, dtype); define it"
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One item: `x [B, I]` and a state → output `[B, H]` and the next state. Modifies neither argument."""
        raise NotImplementedError(f"{type(self).__name__}: expected a step(x, state); define it")

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """A loop over `step`, in which the state of a row does not change after its last item: on the native kernels
        if `step` can be written down as a program (see `stepscan.programs`), else in PyTorch."""
        self.check_shape(inputs)
        state = start(self, inputs, state)
        found = programs.scan(self, inputs, state) or scan_operator.scan(self, inputs, state)
        return scan_by_steps(self, inputs, state) if found is None else found

    @property
    def condition_size(self) -> int:
        """The number of elements that `condition` sets: those of the initial state's floating-point leaves, per row."""
        return sum(leaf[0].numel() for leaf in leaves(self.initial_state(1)) if leaf.is_floating_point())

    def condition(self, vector: Tensor) -> State:
        """An initial state whose floating-point leaves are, in order, slices of `vector [B, condition_size]`.

        A layer with floating-point leaves that must not be set (masks, caches) overrides this and `condition_size`.

        Raises:
            ValueError: `vector` is not `[B, condition_size]`.
        """
        self.check_condition(vector)
        position = 0

        def cut(leaf: Tensor) -> Tensor:
            nonlocal position
            if not leaf.is_floating_point():
                return leaf
            size = leaf[0].numel() if len(leaf) else leaf.numel()
            position += size
            return vector[:, position - size : position].reshape(leaf.shape)

        return map_state(cut, self.initial_state(len(vector), device=vector.device, dtype=vector.dtype))

    def zeros(
        self, batch_size: int, size: int, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Zeros `[batch_size, size]`; device and dtype default to those of this layer's parameters."""
        parameter = next(self.parameters(), None)
        if parameter is not None:
            device, dtype = device or parameter.device, dtype or parameter.dtype
        return torch.zeros(batch_size, size, device=device, dtype=dtype)


class Pointwise(Recurrence):
    """A layer that maps each item on its own. Define `transform`; its state is its last output, for `readout`."""

    is_pointwise = True

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        """`[…, I]` → `[…, H]`, the same for every item."""
        raise NotImplementedError(f"{type(self).__name__}: expected a transform(x); define it")

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        return self.zeros(batch_size, self.output_size, device, dtype)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y = self.transform(x, state)
        return y, y

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        inputs = self.check_input(inputs)
        outputs = inputs.map(lambda data: self.transform(data, state))
        return outputs, outputs.last(default=None if state is None else self.readout(state))

    @property
    def condition_size(self) -> int:
        return 0

    def condition(self, vector: Tensor) -> State:
        self.check_condition(vector)
        return self.initial_state(len(vector), device=vector.device, dtype=vector.dtype)
