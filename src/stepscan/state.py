"""States are trees: tuples (and named tuples) whose leaves are arrays `[B, …]`, and functions that map over them.

They work on torch tensors and NumPy arrays and import neither, so that decoding and the runtime can use them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

State = Any  # a leaf [B, …], or a (named) tuple of States


def map_state(function: Callable[..., Any], *states: State) -> State:
    """Apply `function` to each leaf, or to the corresponding leaves of several states of one structure."""
    first = states[0]
    if not isinstance(first, tuple):
        return function(*states)
    mapped = [map_state(function, *fields) for fields in zip(*states, strict=True)]
    return type(first)(*mapped) if hasattr(first, "_fields") else tuple(mapped)


def leaves(state: State) -> Iterator[Any]:
    """The leaves of a state, depth first, left to right."""
    if isinstance(state, tuple):
        for field in state:
            yield from leaves(field)
    else:
        yield state


def named_leaves(state: State, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves with their paths, such as `("0.h", tensor)`; the path of a bare leaf is `prefix`."""
    if isinstance(state, tuple):
        names = getattr(state, "_fields", None) or [str(i) for i in range(len(state))]
        for name, field in zip(names, state, strict=True):
            yield from named_leaves(field, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, state


def batch_size(state: State) -> int:
    """B, the number of rows of a state.

    Raises:
        ValueError: the state has no leaves.
    """
    for leaf in leaves(state):
        return int(leaf.shape[0])
    raise ValueError("state: expected at least one leaf, whose first dimension is the batch, got none")


def select(state: State, rows: Any) -> State:
    """The rows of every leaf at the indices `rows [N]`, in that order; an index may occur several times."""
    return map_state(lambda leaf: leaf[rows], state)


def detach(state: State) -> State:
    """The state detached from the graph, as between the windows of truncated back-propagation through time."""
    return map_state(lambda leaf: leaf.detach(), state)
