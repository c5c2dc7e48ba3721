"""States of a decoder, of one session or of several together: joined for a step, and taken apart again.

Dimension letters: N sessions, S items of a memory, M their size, C items of a cache, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Array
from stepscan.backends.layers import NativeLayer
from stepscan.definitions.attention import MemoryAttentionDefinition
from stepscan.definitions.stack import Stack
from stepscan.definitions.wrappers import WrapperDefinition
from stepscan.state import State, map_state, named_leaves

_MEMORY, _OTHER = "memory", "other"  # roles of leaves that are not the state of a native layer
_FIELDS_OF_MEMORY = ("memory", "keys", "values", "length")  # of layers that attend to one; no step changes them


def leaf_roles(layer: Any, state: State) -> State:
    """A tree like a state of `layer`: for a leaf that is the state of a native layer, that `NativeLayer`, so that its
    cache can be resized; for others, whether they are part of the memory."""
    if isinstance(layer, NativeLayer):
        return layer
    if isinstance(layer, Stack):
        return tuple(leaf_roles(*pair) for pair in zip(layer.layers, state, strict=True))
    if isinstance(layer, WrapperDefinition):
        return leaf_roles(layer.layer, state)
    roles = map_state(lambda _: _OTHER, state)
    if hasattr(state, "inner"):
        roles = roles._replace(inner=leaf_roles(layer.layer, state.inner))
    if isinstance(layer, MemoryAttentionDefinition):
        roles = roles._replace(**{name: _MEMORY for name in _FIELDS_OF_MEMORY if name in roles._fields})
    return roles


def join(roles: State, states: Sequence[State]) -> State:
    """The states of N sessions as one of N rows; memories, padded with zeros, are as long as the longest."""

    def join_leaves(role: Any, *leaves: Array) -> Array:
        return role.join(leaves) if isinstance(role, NativeLayer) else np.concatenate(_padded(leaves))

    return map_state(join_leaves, roles, *states)


def split(roles: State, after: State, before: Sequence[State]) -> list[State]:
    """The states of the N sessions after a step of their joined states; each has the memory that it had before."""

    def split_leaf(row: int, role: Any, leaf: Array, old: Array) -> Array:
        if role == _MEMORY:
            return old
        new = leaf[row : row + 1]
        return role.trimmed(new) if isinstance(role, NativeLayer) else new[:, : old.shape[1]].copy()

    return [
        map_state(lambda *leaves, row=row: split_leaf(row, *leaves), roles, after, old)
        for row, old in enumerate(before)
    ]


def is_finite(roles: State, state: State) -> bool:
    """Whether all numbers that steps change are finite, which they are not after a step with a memory that is not."""
    return all(np.isfinite(leaf).all() for _, _, leaf in _changing_leaves(roles, state, ""))


def to_tensors(roles: State, state: State, name: str) -> dict[str, Array]:
    """What steps change of a state, as arrays whose names begin with `name`; caches have the items that they hold."""
    return {
        path: role.trimmed(leaf) if isinstance(role, NativeLayer) else leaf
        for path, role, leaf in _changing_leaves(roles, state, name)
    }


def layers_by_name(roles: State, name: str) -> dict[str, NativeLayer]:
    """The native layers whose states are among the tensors of `to_tensors`, by the names of these."""
    return {path: role for path, role, _ in _changing_leaves(roles, roles, name) if isinstance(role, NativeLayer)}


def from_tensors(roles: State, tensors: Mapping[str, Array], start: State, name: str) -> State:
    """The inverse of `to_tensors`, with the memory of `start`, a state after the same source."""
    names = iter([path for path, _, _ in _changing_leaves(roles, start, name)])
    return map_state(lambda role, leaf: leaf if role == _MEMORY else tensors[next(names)], roles, start)


def _changing_leaves(roles: State, state: State, name: str) -> Iterator[tuple[str, Any, Array]]:
    """The leaves that steps change, with their paths and roles."""
    for (path, leaf), (_, role) in zip(named_leaves(state, name), named_leaves(roles, name), strict=True):
        if role != _MEMORY:
            yield path, role, leaf


def _padded(leaves: Sequence[Array]) -> list[Array]:
    """Leaves `[1, S, …]`, padded with zeros to the greatest S; those `[1]` as they are."""
    if leaves[0].ndim < 2:
        return list(leaves)
    size = max(leaf.shape[1] for leaf in leaves)
    return [np.pad(leaf, [(0, 0), (0, size - leaf.shape[1])] + [(0, 0)] * (leaf.ndim - 2)) for leaf in leaves]
