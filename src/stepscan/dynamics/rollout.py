"""A recurrence rolled out over a sequence, with exact vector-Jacobian products through each of its steps.

Everything is computed in float64 and in evaluation mode (no dropout), through `step`: the equations, not the kernels.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stepscan.contract import Layer, Recurrence
from stepscan.sequences import Sequences
from stepscan.state import State, map_state, named_leaves


class VJP(NamedTuple):
    """Gradients of N scalars per row with respect to a state, by field name: `[N, B, …]` each."""

    after: dict[str, Tensor]  # with respect to the state after the step
    before: dict[str, Tensor]  # with respect to the state before it; without fields that the step does not read


class Rollout(NamedTuple):
    """A recurrence and the states that it goes through."""

    layer: Recurrence  # a copy, in float64 and evaluation mode
    inputs: Sequences  # [B, T, I] in float64, cut to the longest row
    states: list[State]  # T + 1: before the first item, after it, …, after the last
    fields: list[str]  # the fields of the state that steps both read and change

    def vjp(self, step: int, output_gradient: Tensor, state_gradient: dict[str, Tensor]) -> VJP:
        """Vector-Jacobian products through one step, N per row at once.

        Args:
            step: 0 … T − 1.
            output_gradient: gradients of N scalars with respect to the output of this step, `[N, B, H]`.
            state_gradient: gradients of the same scalars with respect to each field of the state after the step, the
                other fields held constant, `[N, B, …]`; a missing field counts as zero.

        Returns:
            The gradients with respect to the state before the step, each field with the others held constant; and with
            respect to the state after it as back-propagation through time accumulates them, which includes the effect
            of a field within its own step (an LSTM's c acts through h and the output).
        """
        count, size = output_gradient.shape[:2]
        with torch.inference_mode(False), torch.enable_grad():
            old = map_state(lambda leaf: _differentiable(_repeated(leaf, count)), self.states[step])
            y, new = self.layer.step(_repeated(self.inputs.data[:, step], count), old)
            after = {name: leaf for name, leaf in named_leaves(new) if name in self.fields and leaf.requires_grad}
            before = {name: leaf for name, leaf in named_leaves(old) if name in self.fields}
            outputs, grad_outputs = [], []
            for value, gradient in [
                (y, output_gradient),
                *((leaf, state_gradient.get(n)) for n, leaf in after.items()),
            ]:
                if gradient is not None and value.requires_grad:
                    outputs.append(value)
                    grad_outputs.append(gradient.reshape(value.shape))
            if not outputs:
                return VJP({}, {})
            leaves = [*after.values(), *before.values()]
            gradients = torch.autograd.grad(outputs, leaves, grad_outputs, allow_unused=True)
        split = [None if g is None else g.unflatten(0, (count, size)) for g in gradients]
        return VJP(_without_none(after, split[: len(after)]), _without_none(before, split[len(after) :]))


def rollout(layer: Recurrence, inputs: Sequences, state: State | None = None) -> Rollout:
    """Run a recurrence step by step and keep every state.

    Fields that no step changes (dropout masks, the memory of an attention) or that no step reads (an output kept for
    `readout`) carry nothing from step to step; they are not among `fields`.

    Args:
        layer: any Recurrence; a copy of it runs.
        inputs: `[B, T, I]`.
        state: the initial state; None for `layer.initial_state(B)`.

    Raises:
        TypeError: `layer` has no step.
        ValueError: all rows are empty, or the inputs do not fit the layer.
    """
    if not isinstance(layer, Recurrence):
        name = layer.signature if isinstance(layer, Layer) else type(layer).__name__
        raise TypeError(
            f"expected a Recurrence, got {name}, which has no step; "
            "stepscan.inspection.recurrences lists the recurrences inside a layer"
        )
    layer.check_shape(inputs)
    if inputs.is_all_empty:
        raise ValueError(f"expected at least one item to roll out over, got {len(inputs)} rows of length 0")
    with torch.inference_mode(False), torch.no_grad():
        copied = copy.deepcopy(layer).double().eval().requires_grad_(False)
        device = next((p.device for p in copied.parameters()), inputs.data.device)
        cut = inputs.zeroed().data[:, : int(inputs.lengths.max())]
        sequences = Sequences(_double(cut.to(device)), inputs.lengths.to(device))
        initial = copied.initial_state(len(sequences), device=device, dtype=torch.float64)
        states = [initial if state is None else map_state(lambda leaf: _double(leaf.to(device)), state)]
        changed: set[str] = set()
        for t in range(sequences.steps):
            _, new = copied.step(sequences.data[:, t], states[-1])
            pairs = zip(named_leaves(new), named_leaves(states[-1]), strict=True)
            changed |= {name for (name, leaf), (_, old) in pairs if leaf is not old and leaf.is_floating_point()}
            states.append(new)
        rolled = Rollout(copied, sequences, states, [name for name, _ in named_leaves(new) if name in changed])
        return rolled._replace(fields=_fields_read(rolled))


def random_direction(size: int, like: Tensor) -> Tensor:
    """A random vector `[size]` of norm 1, the same for every call with one size, with dtype and device of `like`."""
    vector = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (vector / vector.norm()).to(like)


def _fields_read(rolled: Rollout) -> list[str]:
    """The fields that the last step reads: those that autograd finds connected to its output and its new state."""
    last = rolled.inputs.steps - 1
    output = rolled.inputs.data.new_ones(1, len(rolled.inputs), rolled.layer.output_size)
    state = {name: torch.ones_like(leaf)[None] for name, leaf in named_leaves(rolled.states[-1])}
    before = rolled.vjp(last, output, {name: state[name] for name in rolled.fields}).before
    return [name for name in rolled.fields if name in before]


def _without_none(names: dict[str, Tensor], gradients: list[Tensor | None]) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in zip(names, gradients, strict=True) if gradient is not None}


def _double(leaf: Any) -> Any:
    """The leaf in float64 if it is of floating point; always a copy, since autograd refuses inference tensors."""
    return (leaf.double() if leaf.is_floating_point() else leaf).clone()


def _repeated(leaf: Tensor, count: int) -> Tensor:
    """`[B, …]` → `[count · B, …]`."""
    return leaf.expand(count, *leaf.shape).flatten(0, 1)


def _differentiable(leaf: Tensor) -> Tensor:
    return leaf.detach().clone().requires_grad_(leaf.is_floating_point())
