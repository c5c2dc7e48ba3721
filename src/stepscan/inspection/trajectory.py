"""A recurrence on data: the states it goes through, and gradients pulled back through one of its steps, exactly.

Everything is taken in float64, outside training (no noise), through `step`: the equations, whatever the kernels.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stepscan.contract import Recurrence
from stepscan.sequences import Sequences
from stepscan.state import State, map_state, named_leaves


class Pulled(NamedTuple):
    """The gradients of N numbers a row, by the name of the state's field: `[N, B, …]`."""

    after: dict[str, Tensor]  # with respect to the state after the step
    before: dict[str, Tensor]  # with respect to the state before it; a field that the step does not read is absent


class Trajectory(NamedTuple):
    """A recurrence and the states it went through."""

    layer: Recurrence  # a copy in float64, without training's noise
    inputs: Sequences  # [B, T, I] in float64, cut to the longest row
    states: list[State]  # T + 1: before the first item, after it, …, after the last
    fields: list[str]  # those of the state that steps read and change

    def pull(self, step: int, of_output: Tensor, of_state: dict[str, Tensor]) -> Pulled:
        """Vector-Jacobian products through one step, N a row at once.

        Args:
            step: 0 … T − 1.
            of_output: gradients of N numbers with respect to this step's output, `[N, B, H]`.
            of_state: of the same N numbers with respect to the state after the step, each field held apart,
                `[N, B, …]`; a field that is absent has none.

        Returns:
            The gradients before the step, each field held apart, and those after it as back-propagation through time
            adds them up: with what a field does within its own step, such as an LSTM's c through h and the output.
        """
        count, size = of_output.shape[:2]
        with torch.inference_mode(False), torch.enable_grad():
            old = map_state(lambda leaf: _watched(_repeated(leaf, count)), self.states[step])
            y, new = self.layer.step(_repeated(self.inputs.data[:, step], count), old)
            after = {name: leaf for name, leaf in named_leaves(new) if name in self.fields and leaf.requires_grad}
            before = {name: leaf for name, leaf in named_leaves(old) if name in self.fields}
            outputs, gradients = [], []
            for value, gradient in [(y, of_output), *((leaf, of_state.get(name)) for name, leaf in after.items())]:
                if gradient is not None and value.requires_grad:
                    outputs.append(value)
                    gradients.append(gradient.reshape(value.shape))
            if not outputs:
                return Pulled({}, {})
            found = torch.autograd.grad(outputs, [*after.values(), *before.values()], gradients, allow_unused=True)
        parts = [None if part is None else part.unflatten(0, (count, size)) for part in found]
        of_after = {n: p for n, p in zip(after, parts[: len(after)], strict=True) if p is not None}
        of_before = {n: p for n, p in zip(before, parts[len(after) :], strict=True) if p is not None}
        return Pulled(of_after, of_before)


def follow(layer: Recurrence, inputs: Sequences, state: State | None = None) -> Trajectory:
    """Run a recurrence and keep every state.

    Fields that no step changes (masks, the memory that attention looks at) or that the last step does not read (an
    output kept for `readout`) carry nothing from step to step; they are not among `fields`.

    Args:
        layer: any Recurrence; it is copied, not changed.
        inputs: `[B, T, I]`.
        state: where to start; None is the initial state.

    Raises:
        TypeError: `layer` has no step.
        ValueError: there is no item at all.
    """
    if not isinstance(layer, Recurrence):
        what = getattr(layer, "described", type(layer).__name__)
        raise TypeError(
            f"gradients are followed through the steps of a Recurrence, but {what} has no step; "
            "stepscan.inspection.parts gives the recurrences it is made of"
        )
    layer.check_shape(inputs)
    if inputs.is_all_empty:
        raise ValueError(f"a recurrence is followed over at least one item, but all of {len(inputs)} rows are empty")
    with torch.inference_mode(False), torch.no_grad():
        copied = copy.deepcopy(layer).double().eval().requires_grad_(False)
        device = next((p.device for p in copied.parameters()), inputs.data.device)
        cut = inputs.zeroed().data[:, : int(inputs.lengths.max())]
        data = Sequences(_double(cut.to(device)), inputs.lengths.to(device))
        start = copied.initial_state(len(data), device=device, dtype=torch.float64)
        states = [start if state is None else map_state(lambda leaf: _double(leaf.to(device)), state)]
        changed: set[str] = set()
        for t in range(data.steps):
            _, new = copied.step(data.data[:, t], states[-1])
            pairs = zip(named_leaves(new), named_leaves(states[-1]), strict=True)
            changed |= {name for (name, leaf), (_, old) in pairs if leaf is not old and leaf.is_floating_point()}
            states.append(new)
        followed = Trajectory(copied, data, states, [name for name, _ in named_leaves(new) if name in changed])
        return followed._replace(fields=_read(followed))


def unit_direction(size: int, like: Tensor) -> Tensor:
    """A random direction `[size]` of length 1, always the same for one size."""
    drawn = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (drawn / drawn.norm()).to(like)


def _read(followed: Trajectory) -> list[str]:
    """The fields that the last step reads, by what autograd says it is connected to."""
    last = followed.inputs.steps - 1
    size = followed.layer.output_size
    output = followed.inputs.data.new_ones(1, len(followed.inputs), size)
    state = {name: torch.ones_like(leaf)[None] for name, leaf in named_leaves(followed.states[-1])}
    before = followed.pull(last, output, {name: state[name] for name in followed.fields}).before
    return [name for name in followed.fields if name in before]


def _double(leaf: Any) -> Any:
    """In float64 if it is of floating point; never an inference tensor, which autograd refuses."""
    return (leaf.double() if leaf.is_floating_point() else leaf).clone()


def _repeated(leaf: Tensor, count: int) -> Tensor:
    """`[B, …]` → `[count · B, …]`."""
    return leaf.expand(count, *leaf.shape).flatten(0, 1)


def _watched(leaf: Tensor) -> Tensor:
    return leaf.detach().clone().requires_grad_(leaf.is_floating_point())
