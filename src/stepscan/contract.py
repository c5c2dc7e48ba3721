"""The contract: what every layer is, and how little it takes to write one.

A recurrent network is two functions and an initial state (Goldberg 2017, ch. 14):

    state_t = R(state_{t-1}, x_t)        y_t = O(state_t)

`Recurrence.step` computes both at once; `scan` runs it over whole sequences. A new cell defines `initial_state` and
`step` and inherits everything else. `stepscan.laws` tests that `scan`, `step`, `readout` and states agree.

Dimension letters: B batch, T time, I input size, H output (hidden) size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stepscan.sequences import Sequences
from stepscan.state import State, leaves, map_state

__all__ = ["Layer", "Pointwise", "Recurrence", "check_layers", "keep_old_where_ended", "pad_caches"]


class Layer(nn.Module):
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
    registered_name: str
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

    def readout(self, state: State) -> Tensor:
        """O of a final state: `[B, H]`, for a causal layer its last output. By default the state's first leaf, such as
        `h`."""
        return next(leaves(state))

    def renew(self, state: State) -> State:
        """The state with its noise (dropout masks that are constant over time) resampled."""
        return state

    def forward(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Calls `scan`, so that PyTorch's hooks run."""
        return self.scan(inputs, state)

    def check_input(self, inputs: Sequences) -> Sequences:
        """`inputs` with zeros in the padding.

        Raises:
            ValueError: they are not `[B, T, I]`.
        """
        self.check_shape(inputs)
        return inputs.zeroed()

    def check_shape(self, inputs: Sequences) -> None:
        """Raise a ValueError unless `inputs` are `[B, T, I]`."""
        if inputs.data.dim() != 3 or inputs.data.shape[2] != self.input_size:
            raise ValueError(
                f"{self.signature}: expected inputs [B, T, {self.input_size}], got {list(inputs.data.shape)}; "
                "check the size of the layer or embedding before it"
            )

    @property
    def signature(self) -> str:
        """Such as `LSTM(8 → 16)`, for messages."""
        return f"{type(self).__name__}({self.input_size} → {self.output_size})"


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
        """A loop over `step`, in which the state of a row does not change after its last item."""
        inputs = self.check_input(inputs)
        if state is None:
            state = self.initial_state(len(inputs), device=inputs.data.device, dtype=inputs.data.dtype)
        outputs = []
        for t, x in enumerate(inputs.data.unbind(1)):  # a slice each step would make backward quadratic in T
            y, new = self.step(x, state)
            state = keep_old_where_ended(t < inputs.lengths, new, state) if inputs.is_ragged else new
            outputs.append(y)
        if not outputs:
            return inputs.replace(inputs.data.new_zeros(len(inputs), 0, self.output_size), zeroed=True), state
        return inputs.replace(torch.stack(outputs, dim=1)).zeroed(), state

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

    def check_condition(self, vector: Tensor) -> None:
        """Raise a ValueError unless `vector` is `[B, condition_size]`."""
        if vector.dim() != 2 or vector.shape[1] != self.condition_size:
            raise ValueError(
                f"{self.signature}: expected a condition [B, {self.condition_size}], got {list(vector.shape)}"
            )

    def zeros(self, batch_size: int, size: int, device: torch.device | None, dtype: torch.dtype | None) -> Tensor:
        """Zeros `[batch_size, size]`; device and dtype default to those of this layer's parameters."""
        parameter = next(self.parameters(), None)
        if parameter is not None:
            device, dtype = device or parameter.device, dtype or parameter.dtype
        return torch.zeros(batch_size, size, device=device, dtype=dtype)


class Pointwise(Recurrence):
    """A layer that maps each item on its own. Define `transform`; its state is its last output, for `readout`."""

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


def check_layers(name: str, *layers: object) -> None:
    """Raise a TypeError unless all arguments of `name` are Layers."""
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(
                f"{name}: expected a Layer, got {type(layer).__name__}; "
                "stepscan.from_torch converts nn.RNN, nn.LSTM and nn.GRU"
            )


def keep_old_where_ended(running: Tensor, new: State, old: State) -> State:
    """`new` in the rows where `running [B]` is true, `old` in the others, by selection: a product with 0 keeps NaN."""

    def choose(n: Tensor, o: Tensor) -> Tensor:
        if n.shape != o.shape:  # caches of different capacities
            n, o = pad_caches(n, o)
        return torch.where(running.view(-1, *[1] * (n.dim() - 1)), n, o)

    return map_state(choose, new, old)


def pad_caches(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two caches `[B, C, …]`, padded with zeros to the larger of their capacities."""
    capacity = max(first.shape[1], second.shape[1])
    padded = [torch.cat([x, x.new_zeros(len(x), capacity - x.shape[1], *x.shape[2:])], 1) for x in (first, second)]
    return padded[0], padded[1]
