"""The gates of the classic cells at every step, from what a cell read and what it answered: by the equations of its
definition, on arrays.

Dimension letters: T steps, I input size, H hidden size.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from stepscan.backends.batches import Array

Gates = dict[str, Array]  # name → values [T, H], 0 … 1, of a candidate −1 … 1


def has_gates(layer: Any) -> bool:
    """Whether a layer's definition has gates by name; an Elman network has an activation alone, which is its output."""
    return hasattr(layer, "named_gates") and layer.gates > 1


def gates(layer: Any, weights: Mapping[str, Array], inputs: Array, outputs: Array, state: Array) -> Gates:
    """The gates of a cell at each of T successive steps.

    Args:
        layer: the definition of a cell that has gates.
        weights: its tensors, by their names in it, in float32.
        inputs: `[T, I]`.
        outputs: `[T, H]`, which for these cells are the hidden states.
        state: `[S]`, before the first of these steps: its leaves side by side.

    Returns:
        Each gate, and for an LSTM also its cell state `cell`, `[T, H]`.
    """
    cell = copy.copy(layer)
    for name in cell.parts():
        setattr(cell, name, weights.get(name))
    now = cell.state_class(*np.split(state[None], len(cell.state_class._fields), axis=1))
    found: dict[str, list[Array]] = {}
    for x, h in zip(inputs[:, None], outputs[:, None], strict=True):
        step = cell.named_gates(x, now)
        now = cell.equations(x, now)[1]._replace(h=h)
        if "c" in now._fields:
            step["cell"] = now.c
        for name, values in step.items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}
