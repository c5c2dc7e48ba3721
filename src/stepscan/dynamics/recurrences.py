"""The recurrences inside a layer, each with its inputs and initial state.

A bidirectional layer, for example, has no `step`, but the two recurrences inside it have one.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import nn

from stepscan.contract import Layer, Pointwise, Recurrence
from stepscan.sequences import Sequences
from stepscan.state import State


class RecurrenceCall(NamedTuple):
    """A recurrence inside a layer, and what it is called with."""

    name: str  # its path in the layer, such as `0.forward`; empty for the layer itself
    layer: Recurrence
    inputs: Sequences  # [B, T, I], in the order in which the recurrence reads them
    is_reversed: bool  # whether that order is from the last item to the first
    state: State | None  # the initial state; None for `layer.initial_state(B)`


def recurrences(layer: Layer, inputs: Sequences, state: State | None = None) -> list[RecurrenceCall]:
    """The outermost Recurrences of a layer: the layer itself if it is one, else those that it calls, in call order.

    Pointwise layers carry no state from step to step and are omitted.

    Args:
        layer: any Layer; a copy of it runs once, in evaluation mode.
        inputs: `[B, T, I]`.
        state: the initial state of `layer`; None for its default.

    Returns:
        An empty list for a layer without recurrences, such as a bidirectional transformer.

    Raises:
        ValueError: `inputs` do not fit the layer.
    """
    if isinstance(layer, Pointwise):
        return []
    if isinstance(layer, Recurrence):
        return [RecurrenceCall("", layer, inputs, False, state)]
    calls: list[RecurrenceCall] = []
    copied = copy.deepcopy(layer).eval()
    originals = dict(layer.named_modules())
    for name, module in _outermost(copied):

        def capture(_: nn.Module, arguments: tuple[Any, ...], name: str = name) -> None:
            is_reversed = name.split(".").count("backward_layer") % 2 == 1
            inputs, state = (*arguments, None)[:2]
            calls.append(RecurrenceCall(field_path(name), originals[name], inputs, is_reversed, state))

        module.register_forward_pre_hook(capture)
    with torch.no_grad():
        copied(inputs, state)
    return calls


def _outermost(layer: nn.Module) -> list[tuple[str, Recurrence]]:
    """The Recurrences in a module that are not inside another one, with their names; without pointwise layers."""
    outermost: list[tuple[str, Recurrence]] = []
    for name, module in layer.named_modules():
        is_nested = any(name.startswith(f"{outer}.") for outer, _ in outermost)
        if isinstance(module, Recurrence) and not isinstance(module, Pointwise) and not is_nested:
            outermost.append((name, module))
    return outermost


def field_path(name: str) -> str:
    """A module's name written as the fields of a state are: `layers.0.forward_layer` → `0.forward`."""
    return ".".join(part.removesuffix("_layer") for part in name.split(".") if part != "layers")
