"""The gates of the classic cells at every step, from what a cell read and what it answered.

The equations stand in `stepscan.cells`; here they are computed for all steps at once, which is possible because the
outputs, and with them the hidden states, are known.

Dimension letters: T steps, I input size, H hidden size, G blocks of H rows in the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stepscan.backends.batches import Array

Gates = dict[str, Array]  # name → values [T, H], 0 … 1, of a candidate −1 … 1
_EPSILON = 1e-5  # of layer normalisation


def has_gates(cell: str) -> bool:
    """Whether the cell of this registered name has gates that `gates` computes."""
    return cell in _GATES


def gates(cell: str, weights: Mapping[str, Array], inputs: Array, outputs: Array, state: Array) -> Gates:
    """The gates of a cell at each of T successive steps.

    Args:
        cell: the registered name of a cell that has gates, such as `lstm`.
        weights: its tensors, by their names in it, in float32.
        inputs: `[T, I]`.
        outputs: `[T, H]`, which for these cells are the hidden states.
        state: `[S]`, before the first of these steps: h, of an LSTM followed by c.

    Returns:
        Each gate, and for an LSTM also its cell state `cell`, `[T, H]`.
    """
    h, c = np.split(state, [outputs.shape[1]])
    return _GATES[cell](weights, inputs, np.concatenate([h[None], outputs[:-1]]), c)


def _lstm(weights: Mapping[str, Array], inputs: Array, before: Array, c: Array) -> Gates:
    return _activated(_affine(weights, "ih", inputs) + _affine(weights, "hh", before), c)


def _layer_norm_lstm(weights: Mapping[str, Array], inputs: Array, before: Array, c: Array) -> Gates:
    x, h = (_normalised(values @ weights[f"weight_{end}"].T) for values, end in ((inputs, "ih"), (before, "hh")))
    return _activated(x * weights["gain_ih"] + h * weights["gain_hh"] + weights["bias"], c)


def _activated(preactivations: Array, c: Array) -> Gates:
    """The gates of an LSTM and its cell state, from preactivations `[T, 4 H]` in the order i, f, g, o, and the cell
    state before them."""
    i, f, g, o = np.split(preactivations, 4, axis=1)
    found = {"input": _sigmoid(i), "forget": _sigmoid(f), "candidate": np.tanh(g), "output": _sigmoid(o)}
    cells = np.empty_like(i)
    for t, (keep, add) in enumerate(zip(found["forget"], found["input"] * found["candidate"], strict=True)):
        cells[t] = c = keep * c + add
    return {**found, "cell": cells}


def _gru(weights: Mapping[str, Array], inputs: Array, before: Array, _: Array) -> Gates:
    x_reset, x_update, x_new = np.split(_affine(weights, "ih", inputs), 3, axis=1)
    h_reset, h_update, h_new = np.split(_affine(weights, "hh", before), 3, axis=1)
    reset = _sigmoid(x_reset + h_reset)
    return {"reset": reset, "update": _sigmoid(x_update + h_update), "candidate": np.tanh(x_new + reset * h_new)}


_GATES: dict[str, Callable[[Any, Array, Array, Array], Gates]] = {
    "gru": _gru,
    "layer_norm_lstm": _layer_norm_lstm,
    "lstm": _lstm,
}


def _affine(weights: Mapping[str, Array], end: str, values: Array) -> Array:
    """`values [T, …]` times the weights of one end (`ih`, `hh`), and its bias if the cell has any: `[T, G H]`."""
    product = values @ weights[f"weight_{end}"].T
    bias = weights.get(f"bias_{end}")
    return product if bias is None else product + bias


def _normalised(values: Array) -> Array:
    centred = values - values.mean(axis=1, keepdims=True)
    return centred / np.sqrt(centred.var(axis=1, keepdims=True) + _EPSILON)


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))  # does not overflow
