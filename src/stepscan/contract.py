"""The contract: what every layer is, and how little it takes to write one.

A recurrent network is two functions and an initial state (Goldberg 2017, ch. 14):

    state_t = R(state_{t-1}, x_t)        y_t = O(state_t)

`Recurrence.step` is both at once; `scan` runs it over whole sequences. A new cell writes `initial_state` and `step` and
has everything else. The laws in `stepscan.laws` say what `scan`, `step`, `readout` and states owe each other.

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
    """Sequence → sequence. Holds parameters only: no layer keeps state between calls or changes an argument."""

    input_size: int
    output_size: int
    registered_name: str
    arguments: dict[str, Any]

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """The whole sequence at once.

        Args:
            inputs: `[B, T, I]`.
            state: where to start; None is the initial state.

        Returns:
            Outputs `[B, T, H]` and the state after each row's own last item.
        """
        raise NotImplementedError(f"{type(self).__name__} must define scan(inputs, state)")

    def readout(self, state: State) -> Tensor:
        """O of a final state: `[B, H]`. For a causal layer this is the last output.

        Unless a layer says otherwise, it is the state's first leaf, as `h` is in every classic cell.
        """
        return next(leaves(state))

    def renew(self, state: State) -> State:
        """The same state with the noise in it (masks that stay the same over time) drawn anew."""
        return state

    def forward(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Calls `scan`, so that PyTorch's hooks see it."""
        return self.scan(inputs, state)

    def check_input(self, inputs: Sequences) -> Sequences:
        """`inputs` with zeros in the padding, or an error that says what this layer takes."""
        self.check_shape(inputs)
        return inputs.zeroed()

    def check_shape(self, inputs: Sequences) -> None:
        """Raise unless `inputs` are `[B, T, I]`."""
        if inputs.data.dim() != 3 or inputs.data.shape[2] != self.input_size:
            raise ValueError(
                f"{self.described} takes inputs [B, T, {self.input_size}], got {list(inputs.data.shape)}; "
                "check the size of the layer or embedding before it"
            )

    @property
    def described(self) -> str:
        """Such as `LSTM(8 → 16)`, for messages."""
        return f"{type(self).__name__}({self.input_size} → {self.output_size})"


class Recurrence(Layer):
    """A causal layer that can also go one step at a time. Write `initial_state` and `step`; the rest is free."""

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        """The state before anything was seen; every leaf is `[B, …]`. Device and dtype default to the parameters'."""
        raise NotImplementedError(f"{type(self).__name__} must define initial_state(batch_size, *, device, dtype)")

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One item: `x [B, I]` and a state → output `[B, H]` and the next state. Changes neither argument."""
        raise NotImplementedError(f"{type(self).__name__} must define step(x, state)")

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """The free scan: a loop over `step` that keeps a row's old state from its end on."""
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
        """How many numbers an initial state can take from outside: those of its floating-point leaves."""
        return sum(leaf[0].numel() for leaf in leaves(self.initial_state(1)) if leaf.is_floating_point())

    def condition(self, vector: Tensor) -> State:
        """An initial state whose floating-point leaves are cut, in order, out of `vector [B, condition_size]`.

        A layer whose state holds leaves that are not for conditioning (masks, caches) overrides this and
        `condition_size` together.
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
        """Raise unless `vector` is `[B, condition_size]`."""
        if vector.dim() != 2 or vector.shape[1] != self.condition_size:
            raise ValueError(f"{self.described} is conditioned on [B, {self.condition_size}], got {list(vector.shape)}")

    def zeros(self, batch_size: int, size: int, device: torch.device | None, dtype: torch.dtype | None) -> Tensor:
        """`[batch_size, size]` zeros; device and dtype default to those of this layer's parameters."""
        like = next(self.parameters(), None)
        if like is not None:
            device, dtype = device or like.device, dtype or like.dtype
        return torch.zeros(batch_size, size, device=device, dtype=dtype)


class Pointwise(Recurrence):
    """A layer that looks at one item at a time. Write `transform`; its state is its last output, for `readout`."""

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        """`[…, I]` → `[…, H]`, the same at every place."""
        raise NotImplementedError(f"{type(self).__name__} must define transform(x)")

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


def check_layers(who: str, *parts: object) -> None:
    """Raise unless all parts that `who` is made of are Layers."""
    for part in parts:
        if not isinstance(part, Layer):
            raise TypeError(
                f"{who} needs Layers, got {type(part).__name__}; stepscan.from_torch converts nn.RNN, nn.LSTM, nn.GRU"
            )


def keep_old_where_ended(running: Tensor, new: State, old: State) -> State:
    """`new` in the rows where `running [B]` is true, `old` in the others. Chosen, not multiplied: NaN · 0 is NaN."""

    def choose(n: Tensor, o: Tensor) -> Tensor:
        if n.shape != o.shape:  # a cache that has grown
            n, o = pad_caches(n, o)
        return torch.where(running.view(-1, *[1] * (n.dim() - 1)), n, o)

    return map_state(choose, new, old)


def pad_caches(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two caches `[B, C, …]` at the larger of their capacities; what is past a row's length is zero."""
    capacity = max(first.shape[1], second.shape[1])
    padded = [torch.cat([x, x.new_zeros(len(x), capacity - x.shape[1], *x.shape[2:])], 1) for x in (first, second)]
    return padded[0], padded[1]
