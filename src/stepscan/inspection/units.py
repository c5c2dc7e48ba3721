"""Hidden states at every item, and how units correlate with properties of a text (Karpathy et al. 2015, §4.1)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.contract import Layer
from stepscan.dynamics.recurrences import RecurrenceCall, recurrences
from stepscan.errors import nearest
from stepscan.sequences import Sequences
from stepscan.state import State, named_leaves

_QUOTES = {'"': 0, "“": 1, "”": -1, "«": 1, "»": -1}  # a straight one opens and closes in turn
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


class UnitCorrelation(NamedTuple):
    """How one unit correlates with a property."""

    field: str  # of the state
    unit: int
    correlation: float  # Pearson's, −1 … 1; 0 for a unit that is constant


def hidden_states(layer: Layer, inputs: Sequences, *, state: State | None = None) -> dict[str, np.ndarray]:
    """The hidden states of a layer after each item.

    Args:
        layer: any Layer; copies of its recurrences run step by step, in evaluation mode.
        inputs: `[B, T, I]`.
        state: the initial state; None for the layer's default.

    Returns:
        By field name (`h`, `c`, in a stack `0.h`, in a bidirectional layer `forward.h`, …): `[B, T, H]`, NaN past the
        end of a row. A backward recurrence is given in the order of the inputs: its state at an item has read that item
        and those after it. Only fields that are vectors `[B, H]` and change are included: no caches, no dropout masks.
    """
    states: dict[str, np.ndarray] = {}
    for call in recurrences(layer, inputs, state):
        for name, values in _states(call).items():
            states[".".join(word for word in (call.name, name) if word)] = values
    return states


def unit_correlations(states: Mapping[str, np.ndarray] | np.ndarray, target: Any) -> list[UnitCorrelation]:
    """The correlation of every unit with a property, sorted by |Pearson's correlation|, largest first.

    Args:
        states: as `hidden_states` returns them, or one array `[B, T, H]`, whose field name is then empty.
        target: the property at each item, `[B, T]`, or a list of B rows of any lengths, or `[T]` if B is 1; NaN is
            ignored.

    Raises:
        ValueError: the shapes do not match, or the property is constant.
    """
    fields = states if isinstance(states, Mapping) else {"": np.asarray(states)}
    correlations: list[UnitCorrelation] = []
    for name, values in fields.items():
        padded = _padded(target, values)
        known = ~np.isnan(padded) & ~np.isnan(values).any(axis=2)
        items, known_target = values[known].astype(float), padded[known]
        if len(known_target) < 2 or np.ptp(known_target) == 0:
            raise ValueError(
                f"expected a property that varies, got one that is the same at all {len(known_target)} items"
            )
        for unit, correlation in enumerate(_correlations(items, known_target)):
            correlations.append(UnitCorrelation(name, unit, float(correlation)))
    return sorted(correlations, key=lambda result: -abs(result.correlation))


def position_in_line(text: str) -> np.ndarray:
    """The number of characters since the last line break, after each character, `[T]`; 0 at the line break itself."""
    positions = accumulate(text, lambda n, character: 0 if character == "\n" else n + 1, initial=0)
    return np.array(list(positions)[1:], dtype=float)


def inside_quotes(text: str) -> np.ndarray:
    """1 after each character inside double quotes, the opening one included, otherwise 0: `[T]`."""

    def update(is_open: int, character: str) -> int:
        turn = _QUOTES.get(character)
        return is_open if turn is None else 1 - is_open if turn == 0 else int(turn > 0)

    return np.array(list(accumulate(text, update, initial=0))[1:], dtype=float)


def nesting_depth(text: str) -> np.ndarray:
    """The number of open brackets `([{` after each character, `[T]`; an unmatched closing bracket is ignored."""
    depths = accumulate(text, lambda depth, character: max(0, depth + _BRACKETS.get(character, 0)), initial=0)
    return np.array(list(depths)[1:], dtype=float)


TEXT_PROPERTIES: dict[str, Callable[[str], np.ndarray]] = {
    "position in line": position_in_line,
    "inside quotes": inside_quotes,
    "nesting depth": nesting_depth,
}


def text_property(pieces: Sequence[str], name: str) -> np.ndarray:
    """A property of a text at the end of each of its pieces, `[T]`: for tokens longer than a character.

    Args:
        pieces: T texts; joined, they are the text.
        name: `position in line`, `inside quotes` or `nesting depth`.

    Raises:
        ValueError: there is no such property.
    """
    if name not in TEXT_PROPERTIES:
        known = ", ".join(TEXT_PROPERTIES)
        raise ValueError(f"expected a property ({known}), got {name!r}.{nearest(name, TEXT_PROPERTIES)}")
    ends = np.array(list(accumulate(map(len, pieces))), dtype=int)
    values = TEXT_PROPERTIES[name]("".join(pieces))
    return np.concatenate([[0.0], values])[ends]  # before the first character it is 0


def _states(call: RecurrenceCall) -> dict[str, np.ndarray]:
    layer, state = copy.deepcopy(call.layer).eval(), call.state
    inputs = call.inputs.zeroed()
    collected: dict[str, list[torch.Tensor]] = {}
    changed: set[str] = set()
    with torch.no_grad():
        if state is None:
            state = layer.initial_state(len(inputs), device=inputs.data.device, dtype=inputs.data.dtype)
        for t in range(inputs.steps):
            _, new = layer.step(inputs.data[:, t], state)
            for (name, leaf), (_, old) in zip(named_leaves(new), named_leaves(state), strict=True):
                if leaf.is_floating_point() and leaf.dim() == 2:
                    collected.setdefault(name, []).append(leaf)
                    changed |= {name} if leaf is not old else set()
            state = new
    return {
        name: _in_input_order(torch.stack(leaves, dim=1), call).cpu().numpy()
        for name, leaves in collected.items()
        if name in changed and len({leaf.shape for leaf in leaves}) == 1
    }


def _in_input_order(data: torch.Tensor, call: RecurrenceCall) -> torch.Tensor:
    sequences = call.inputs.replace(data)
    sequences = sequences.reversed() if call.is_reversed else sequences
    return sequences.data.masked_fill(~sequences.mask[:, :, None], torch.nan)


def _padded(target: Any, values: np.ndarray) -> np.ndarray:
    """The property as `[B, T]`, NaN where there is no item."""
    if values.ndim != 3:
        raise ValueError(f"expected states [B, T, H], got {list(values.shape)}")
    rows = [np.asarray(row, dtype=float) for row in target] if np.ndim(target[0]) else [np.asarray(target, dtype=float)]
    size, steps = values.shape[:2]
    if len(rows) != size or any(row.ndim != 1 or len(row) > steps for row in rows):
        shapes = ", ".join(str(list(row.shape)) for row in rows[:3])
        raise ValueError(f"expected a property of {size} rows of at most {steps} items, got {len(rows)}: {shapes}")
    padded = np.full((size, steps), np.nan)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded


def _correlations(items: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each column of `[N, H]` with `[N]`; 0 for a constant column."""
    centred_items, centred_target = items - items.mean(axis=0), target - target.mean()
    scale = np.sqrt((centred_items**2).sum(axis=0) * (centred_target**2).sum())
    varies = np.ptp(items, axis=0) > 0
    return np.where(varies, centred_target @ centred_items / np.where(scale > 0, scale, 1), 0.0)
