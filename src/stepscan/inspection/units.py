"""Hidden states item by item, and the units among them that track something (Karpathy et al. 2015, §4.1)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch

from stepscan.contract import Layer
from stepscan.errors import nearest
from stepscan.inspection.parts import Part, parts
from stepscan.sequences import Sequences
from stepscan.state import State, named_leaves

_QUOTES = {'"': 0, "“": 1, "”": -1, "«": 1, "»": -1}  # a straight one opens and closes in turn
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


class Tracking(NamedTuple):
    """How one unit goes along with a property."""

    field: str  # of the state
    unit: int
    correlation: float  # Pearson's, −1 … 1; 0 for a unit that never moves


def hidden_states(layer: Layer, inputs: Sequences, *, state: State | None = None) -> dict[str, np.ndarray]:
    """Every state of a layer: after each item, each field `[B, T, H]`, NaN past a row's length.

    Args:
        layer: any Layer; its recurrences are run step by step, outside training. One that reads backwards is given in
            the text's order: its state at an item has seen that item and those after it.
        inputs: `[B, T, I]`.
        state: where to start; None is the initial state.

    Returns:
        By the field's name: `h`, `c`, in a stack `0.h`, in a bidirectional layer `forward.h`, … Only fields of H
        numbers a row: no caches, and no masks that stay the same.
    """
    found: dict[str, np.ndarray] = {}
    for part in parts(layer, inputs, state):
        for name, values in _states(part).items():
            found[".".join(word for word in (part.name, name) if word)] = values
    return found


def tracking(states: Mapping[str, np.ndarray] | np.ndarray, target: Any) -> list[Tracking]:
    """The units by how closely they go along with a property, closest first: by |Pearson's correlation|.

    Args:
        states: as `hidden_states` gives them, or one array `[B, T, H]`, whose field is then empty.
        target: the property at each item, `[B, T]` or a list of B rows of their own lengths; NaN does not count. For
            one text a row `[T]` is enough.

    Raises:
        ValueError: the shapes do not fit, or the property is the same at all items.
    """
    fields = states if isinstance(states, Mapping) else {"": np.asarray(states)}
    ranking: list[Tracking] = []
    for name, values in fields.items():
        wanted = _as_matrix(target, values)
        known = ~np.isnan(wanted) & ~np.isnan(values).any(axis=2)
        items, property_ = values[known].astype(float), wanted[known]
        if len(property_) < 2 or np.ptp(property_) == 0:
            raise ValueError(f"the property is the same at all {len(property_)} items, so that no unit can track it")
        for unit, correlation in enumerate(_correlations(items, property_)):
            ranking.append(Tracking(name, unit, float(correlation)))
    return sorted(ranking, key=lambda one: -abs(one.correlation))


def position_in_line(text: str) -> np.ndarray:
    """Characters since the last line break, after each character `[T]`; 0 at the break itself."""
    return np.array(list(accumulate(text, lambda n, one: 0 if one == "\n" else n + 1, initial=0))[1:], dtype=float)


def inside_quotes(text: str) -> np.ndarray:
    """1 after each character inside double quotes, the opening one included, else 0: `[T]`."""

    def follow(open_: int, one: str) -> int:
        turn = _QUOTES.get(one)
        return open_ if turn is None else 1 - open_ if turn == 0 else int(turn > 0)

    return np.array(list(accumulate(text, follow, initial=0))[1:], dtype=float)


def nesting_depth(text: str) -> np.ndarray:
    """Brackets `([{` that are open after each character `[T]`; one that closes nothing does not count."""
    steps = accumulate(text, lambda depth, one: max(0, depth + _BRACKETS.get(one, 0)), initial=0)
    return np.array(list(steps)[1:], dtype=float)


PROPERTIES: dict[str, Callable[[str], np.ndarray]] = {
    "position in line": position_in_line,
    "inside quotes": inside_quotes,
    "nesting depth": nesting_depth,
}


def properties(pieces: Sequence[str], name: str) -> np.ndarray:
    """A property of `PROPERTIES` at the end of each piece of a text `[T]`: for symbols that are not characters.

    Raises:
        ValueError: there is no such property.
    """
    if name not in PROPERTIES:
        raise ValueError(f"no property is called {name!r}.{nearest(name, PROPERTIES)}")
    ends = np.array(list(accumulate(map(len, pieces))), dtype=int)
    values = PROPERTIES[name]("".join(pieces))
    before = np.concatenate([[0.0], values])  # an empty first piece has read nothing
    return before[ends]


def _states(part: Part) -> dict[str, np.ndarray]:
    layer, state = copy.deepcopy(part.layer).eval(), part.state
    inputs = part.inputs.zeroed()
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
        name: _in_order(torch.stack(leaves, dim=1), part).cpu().numpy()
        for name, leaves in collected.items()
        if name in changed and len({leaf.shape for leaf in leaves}) == 1
    }


def _in_order(data: torch.Tensor, part: Part) -> torch.Tensor:
    whole = part.inputs.replace(data)
    whole = whole.reversed() if part.backwards else whole
    return whole.data.masked_fill(~whole.mask[:, :, None], torch.nan)


def _as_matrix(target: Any, values: np.ndarray) -> np.ndarray:
    """The property as `[B, T]`, NaN where there is no item."""
    if values.ndim != 3:
        raise ValueError(f"states are [B, T, H], got {list(values.shape)}")
    rows = [np.asarray(row, dtype=float) for row in target] if np.ndim(target[0]) else [np.asarray(target, dtype=float)]
    size, steps = values.shape[:2]
    if len(rows) != size or any(row.ndim != 1 or len(row) > steps for row in rows):
        shapes = ", ".join(str(list(row.shape)) for row in rows[:3])
        raise ValueError(f"the property needs {size} rows of at most {steps} items, got {len(rows)}: {shapes}")
    wanted = np.full((size, steps), np.nan)
    for place, row in enumerate(rows):
        wanted[place, : len(row)] = row
    return wanted


def _correlations(items: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each column of `[N, H]` with `[N]`; 0 for a column that never moves."""
    centred, aim = items - items.mean(axis=0), target - target.mean()
    scale = np.sqrt((centred**2).sum(axis=0) * (aim**2).sum())
    moves = np.ptp(items, axis=0) > 0
    return np.where(moves, aim @ centred / np.where(scale > 0, scale, 1), 0.0)
