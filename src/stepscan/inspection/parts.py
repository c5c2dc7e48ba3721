"""The recurrences that a layer is made of, each with what it reads: a way into layers that are none themselves."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import nn

from stepscan.contract import Layer, Pointwise, Recurrence
from stepscan.sequences import Sequences
from stepscan.state import State


class Part(NamedTuple):
    name: str  # its place, such as `0.forward`; empty for the layer itself
    layer: Recurrence
    inputs: Sequences  # [B, T, I], what it reads, in the order in which it reads
    backwards: bool  # whether that is from the last item to the first
    state: State | None  # where it starts; None is the initial state


def parts(layer: Layer, inputs: Sequences, state: State | None = None) -> list[Part]:
    """The outermost Recurrences of a layer: the layer itself if it is one, else those it calls, in that order.

    Pointwise layers look at one item at a time; they carry nothing and are left out.

    Args:
        layer: any Layer; it runs once, outside training.
        inputs: `[B, T, I]`.
        state: where to start; None is the initial state.

    Returns:
        Nothing for a layer without recurrences, such as a bidirectional transformer.
    """
    if isinstance(layer, Pointwise):
        return []
    if isinstance(layer, Recurrence):
        return [Part("", layer, inputs, False, state)]
    found: list[Part] = []
    copied = copy.deepcopy(layer).eval()
    originals = dict(layer.named_modules())
    for name, module in outermost(copied):

        def hear(_: nn.Module, arguments: tuple[Any, ...], name: str = name) -> None:
            backwards = name.split(".").count("backward_layer") % 2 == 1
            found.append(Part(place(name), originals[name], arguments[0], backwards, (*arguments, None)[1]))

        module.register_forward_pre_hook(hear)
    with torch.no_grad():
        copied(inputs, state)
    return found


def outermost(layer: nn.Module) -> list[tuple[str, Recurrence]]:
    """The Recurrences in a module that lie in no other, with their names; no pointwise ones."""
    found: list[tuple[str, Recurrence]] = []
    for name, module in layer.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer, _ in found)
        if isinstance(module, Recurrence) and not isinstance(module, Pointwise) and not inside:
            found.append((name, module))
    return found


def place(name: str) -> str:
    """A module's name as a state's fields are named: `layers.0.forward_layer` → `0.forward`."""
    return ".".join(part.removesuffix("_layer") for part in name.split(".") if part != "layers")
