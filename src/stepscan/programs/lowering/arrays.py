"""The arrays of a lowered program, and where values lie in them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from stepscan.programs.lowering import codes
from stepscan.programs.lowering.definitions import Definition, Definitions

__all__ = ["Array", "Arrays", "Home"]


class Array(NamedTuple):
    """See `ProgramArray` in `native/program.h`."""

    kind: int
    slots: int
    width: int
    row_major: int = 0
    of: int = 0
    offset: int = 0
    from_end: int = 0


class Home(NamedTuple):
    """Where a value lies: an array, a slot of it, and, of the state, whether before a step (1) or after it (0)."""

    array: int
    slot: int = 0
    shift: int = 0


class Arrays:
    """Arrays by number, and the homes of sources, which are the same in all programs.

    Args:
        definitions: of the values.
    """

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.all: list[Array] = []
        self._known: dict[Array, int] = {}

    def add(self, kind: int, slots: int, width: int, row_major: bool = False, **more: int) -> int:
        """The number of a new array."""
        self.all.append(Array(kind, slots, width, int(row_major), **more))
        return len(self.all) - 1

    def once(self, kind: int, width: int, of: int, offset: int) -> int:
        """The number of an array that is the caller's or a weight's: one for each part."""
        array = Array(kind, 1, width, 0, of, offset)
        if array not in self._known:
            self._known[array] = self.add(kind, 1, width, of=of, offset=offset)
        return self._known[array]

    def side_by_side(self, kind: int, groups: Iterable[Iterable[int]]) -> dict[int, Home]:
        """New homes of the results of products, those of one input as the library makes them together."""
        found: dict[int, Home] = {}
        for members in map(sorted, groups):
            for at in range(0, len(members), codes.MOST_PARTS):
                few = members[at : at + codes.MOST_PARTS]
                array = self.add(kind, len(few), self.definitions[few[0]].width)
                found.update({value: Home(array, slot) for slot, value in enumerate(few)})
        return found

    def constant(self, number: float) -> Home:
        """The home of a constant."""
        (bits,) = struct.unpack("<i", struct.pack("<f", number))
        return Home(self.once(codes.CONSTANT, 1, bits, 0))

    def of_source(self, source: Definition) -> Home | None:
        """The home of a constant, a vector of weights or a part of x; None for another source."""
        if source.op == "constant":
            return self.constant(source.attribute[0])
        if source.op == "vector":
            weight, start, _ = source.attribute
            return Home(self.once(codes.VECTOR, source.width, weight, start))
        if source.op == "x":
            return Home(self.once(codes.ITEMS, source.width, codes.X, source.attribute[0]))
        return None

    def kind(self, home: Home) -> int:
        """The kind of the array of a home."""
        return self.all[home.array].kind
