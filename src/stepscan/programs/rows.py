"""Values `[B, …]` of a step that is being translated: which element of which flat row each element is.

To slice, transpose, expand or reshape such a value moves indices; only where an operation needs the elements in a row
are they gathered, as slices and joins of values, which `pieces` does away with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stepscan.programs.graph import Graph

__all__ = ["Refusal", "Row", "RowGraph", "WeightRef"]

_MOST_RUNS = 1024
Index: TypeAlias = npt.NDArray[np.int64]


class Refusal(Exception):
    """Why a program cannot have it, without the place in the step, which who translates a line adds."""


@dataclass(frozen=True, eq=False)
class Row:
    """A value `[B, *index.shape]`.

    Attributes:
        value: a value of the graph.
        index: for each element, which one of that value it is.
    """

    value: int
    index: Index

    @property
    def shape(self) -> tuple[int, ...]:
        """Without the batch."""
        return self.index.shape

    def moved(self, index: Index) -> Row:
        """Some of the same elements, in another order."""
        return Row(self.value, index)


@dataclass(frozen=True)
class WeightRef:
    """A weight that an operation reads: the number of a recorded tensor, in a shape of as many elements."""

    number: int
    shape: tuple[int, ...]


class RowGraph(Graph):
    """A graph that also has `slice` (start, stop) and `join`."""

    def row(self, value: int, shape: Sequence[int] | None = None) -> Row:
        """All elements of a value."""
        index = np.arange(self.width(value))
        return Row(value, index if shape is None else index.reshape(shape))

    def constant_row(self, number: float, shape: Sequence[int]) -> Row:
        """One number everywhere."""
        return Row(self.constant(number), np.zeros(shape, np.int64))

    def flat(self, row: Row, index: Index | None = None) -> int:
        """A value of the elements of a row in their order; `index` in place of the row's own."""
        wanted = (row.index if index is None else index).ravel()
        width = self.width(row.value)
        if len(wanted) == width and bool((wanted == np.arange(width)).all()):
            return row.value
        parts = []
        for start, length, same in _runs(wanted):
            part = self.part(row.value, start, 1 if same else length)
            parts.append(self("spread", part, width=length) if same else part)
        return self.join(parts)

    def join(self, parts: Sequence[int]) -> int:
        """Values side by side."""
        if len(parts) == 1:
            return parts[0]
        return self("join", *parts, width=sum(map(self.width, parts)))

    def joined(self, parts: Sequence[int], shape: Sequence[int]) -> Row:
        """Values side by side, as a row of that shape."""
        return self.row(self.join(parts), shape)

    def narrow(self, row: Row) -> int | None:
        """The one element that all of a row is, as a value of width 1; None if there are several."""
        if row.index.size and bool((row.index == row.index.flat[0]).all()):
            return self.part(row.value, int(row.index.flat[0]), 1)
        return None

    def part(self, value: int, start: int, length: int) -> int:
        """Elements of a value that are side by side."""
        if (start, length) == (0, self.width(value)):
            return value
        return self("slice", value, width=length, attribute=(start, start + length))


def _runs(wanted: Index) -> list[tuple[int, int, bool]]:
    """The parts of a list of indices that count up by 1, or stay the same: start, length, and whether it stays."""
    runs: list[tuple[int, int, bool]] = []
    at = 0
    while at < len(wanted):
        step = int(wanted[at + 1] - wanted[at]) if at + 1 < len(wanted) else 1
        length = 1
        if step in (0, 1):
            changes = np.flatnonzero(np.diff(wanted[at:]) != step)
            length = int(changes[0]) + 1 if len(changes) else len(wanted) - at
        if step == 1 and length > 1 and at + length < len(wanted) and wanted[at + length] == wanted[at + length - 1]:
            length -= 1  # the last one begins a run of the same
        runs.append((int(wanted[at]), length, step == 0 and length > 1))
        at += length
        if len(runs) > _MOST_RUNS:
            raise Refusal(f"puts single numbers of a row in another order, more than {_MOST_RUNS} of them")
    return runs


def normal_axis(axis: int, dimensions: int) -> int:
    """An axis of a value `[B, …]` as one of its row, from 0.

    Raises:
        Refusal: it is that of the batch.
    """
    axis = axis % dimensions
    if axis == 0:
        raise Refusal("mixes the rows of a batch (dimension 0): a row must not depend on others, so use dim=1 or -1")
    return axis - 1


def as_axes(axes: Any, dimensions: int) -> tuple[int, ...]:
    """Several axes, or one; None and an empty list are all of them, that of the batch included."""
    found = range(dimensions) if axes is None or axes == [] else [axes] if isinstance(axes, int) else axes
    return tuple(normal_axis(axis, dimensions) for axis in found)
