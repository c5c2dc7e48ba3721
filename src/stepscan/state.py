"""States are trees: tuples (and named tuples) whose leaves are arrays `[B, …]`. One map does everything.

Works on torch tensors and NumPy arrays alike and imports neither, so that decoding and the runtime share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

State = Any  # a leaf [B, …], or a (named) tuple of States


def map_state(function: Callable[..., Any], *states: State) -> State:
    """Apply `function` to each leaf, or to the leaves that stand in the same place of several states."""
    first = states[0]
    if not isinstance(first, tuple):
        return function(*states)
    parts = [map_state(function, *corresponding) for corresponding in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


def leaves(state: State) -> Iterator[Any]:
    """The leaves of a state, depth first, left to right."""
    if isinstance(state, tuple):
        for part in state:
            yield from leaves(part)
    else:
        yield state


def named_leaves(state: State, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves with their places, such as `("0.h", tensor)`."""
    if isinstance(state, tuple):
        names = getattr(state, "_fields", None) or [str(i) for i in range(len(state))]
        for name, part in zip(names, state, strict=True):
            yield from named_leaves(part, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, state


def batch_size(state: State) -> int:
    """How many rows a state has; a state without leaves has none to count and is an error."""
    for leaf in leaves(state):
        return int(leaf.shape[0])
    raise ValueError("a state without leaves has no batch size")


def select(state: State, rows: Any) -> State:
    """The rows `rows` (indices `[N]`, repeated or reordered at will) of every leaf."""
    return map_state(lambda leaf: leaf[rows], state)


def detach(state: State) -> State:
    """The same values without their history: truncated back-propagation through time cuts here."""
    return map_state(lambda leaf: leaf.detach(), state)
