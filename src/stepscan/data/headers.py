"""Which columns of a table hold what, and whether its first row is a header."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

_LANGUAGES = (
    "ar bg bn ca cs da de el en es et fa fi fr ga he hi hr hu id is it ja ko lt lv ms nl no pl pt ro ru sk sl sq sr sv "
    "sw ta th tr uk ur vi zh deu eng fra spa ita por nld pol rus jpn zho kor ara tur swe fin ces ukr "
    "arabic chinese czech danish dutch english finnish french german greek hebrew hindi hungarian italian japanese "
    "korean polish portuguese romanian russian spanish swedish turkish ukrainian vietnamese"
)
_USUAL = {"id", "index", "text", "label", "source", "target"}  # names of columns, whatever is asked for
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


class Column(NamedTuple):
    """A column to be found: what it holds, how the user names it (if at all), names to guess.

    `wanted` is a name (case matters only between names that differ in nothing else), or a position from 1 (an integer
    or a string of digits); in JSON Lines it is always a key. Without it the column named `role` is taken, or else the
    only one named as in `guesses`, or else, in a table without a header, the one at the position `otherwise`.
    """

    role: str
    wanted: str | int | None = None
    guesses: tuple[str, ...] = ()
    otherwise: int | None = None

    @property
    def position(self) -> int | None:
        """The position from 1 that is wanted, or None for a column that goes by name."""
        digits = str(self.wanted)
        return int(digits) if digits.isascii() and digits.isdigit() else None

    @property
    def place(self) -> int | None:
        """The position from 1 in a table without a header, if it has one."""
        return self.position if self.wanted is not None else self.otherwise

    def is_called(self, name: str) -> bool:
        """Whether a column of this name would be guessed to be it."""
        return name in (self.role, *self.guesses)


def candidates(names: Sequence[str], column: Column) -> list[int]:
    """The places (from 0) of the columns that a column's name may mean: exactly one, if all is well."""
    names = [name.strip() for name in names]
    folded = [name.casefold() for name in names]
    name = column.role if column.wanted is None else str(column.wanted)
    found = [i for i, each in enumerate(names) if each == name]
    found = found or [i for i, each in enumerate(folded) if each == name.casefold()]
    if column.wanted is None:
        found = found or [i for i, each in enumerate(folded) if each in column.guesses]
    return found


def places_by_name(names: Sequence[str], columns: Sequence[Column]) -> list[int] | None:
    """The places (from 0) of columns in a header, those by position too; None if one of them is not there."""
    found = [[c.position - 1] if c.position is not None else candidates(names, c) for c in columns]
    good = all(len(places) == 1 and 0 <= places[0] < len(names) for places in found)
    return [place for (place,) in found] if good else None


class Header(NamedTuple):
    """What speaks for a first row being a header, where columns go by position."""

    rows: Sequence[Sequence[str]]  # the first rows
    columns: Sequence[Column]
    places: Sequence[int]

    @property
    def names(self) -> list[str]:
        return [name.strip().casefold() for name in self.rows[0]]

    def is_one(self) -> bool:
        """Whether the first row is a header rather than an example."""
        return self.is_swapped() or self._has_known_name() or self._is_above_numbers() or self._names_languages()

    def is_swapped(self) -> bool:
        """Whether two columns bear each other's name."""
        pairs = itertools.pairwise(zip(self.columns, self.places, strict=True))
        return any(a.is_called(self.names[j]) and b.is_called(self.names[i]) for (a, i), (b, j) in pairs if i != j)

    def _has_known_name(self) -> bool:
        """A chosen column's own name, or a usual one of another; no chosen column repeats its name below."""
        named = any(c.is_called(self.names[place]) for c, place in zip(self.columns, self.places, strict=True))
        others = [i for i in range(len(self.names)) if i not in self.places and self.names[i] in _USUAL]
        return (named or any(map(self._is_unique, others))) and all(map(self._is_unique, self.places))

    def _is_unique(self, place: int) -> bool:
        return all(row[place].strip().casefold() != self.names[place] for row in self._others(place))

    def _is_above_numbers(self) -> bool:
        """A name above a column of numbers; or pandas' names where there are none: of an index, or of all columns."""
        below = [[row[i].strip() for row in self._others(i)] for i in range(len(self.names))]
        texts = {i for c, i in zip(self.columns, self.places, strict=True) if c.role != "label"}  # may be numbers
        numeric = [
            i not in texts and len(cells) > 2 and all(map(_NUMBER.fullmatch, cells)) for i, cells in enumerate(below)
        ]
        if self.names == _counted(len(self.names)):
            return any(numeric) and not all(numeric)
        of_index = not self.names[0] and below[0] == _counted(len(below[0])) and numeric[0]
        return of_index or any(map(_is_name, itertools.compress(self.names, numeric)))

    def _names_languages(self) -> bool:
        """A language above each text, of two or more that the row names."""
        names = [re.split("[-_]", name)[0] for name in self.names]
        languages = set(names) & set(_LANGUAGES.split())
        return self.columns[0].role == "source" and len(languages) > 1 and {names[i] for i in self.places} <= languages

    def _others(self, place: int) -> list[Sequence[str]]:
        """The rows below that have the column; one that repeats the first tells nothing of it."""
        below = [row for row in self.rows[1:] if place < len(row)]
        return [row for row in below if [cell.strip().casefold() for cell in row] != self.names]


def _counted(length: int) -> list[str]:
    return [str(i) for i in range(length)]


def _is_name(text: str) -> bool:
    """Whether a cell above numbers names them, and is not a missing one."""
    return bool(re.match(r"[^\W\d_]", text)) and text not in {"nan", "na", "n/a", "null", "none"}


def looks_numeric(text: str) -> bool:
    """Whether the first lines of a text are a table or a column of numbers, under a header or not."""
    lines = [line for line in text.split("\n")[:21] if line.strip()][1:]
    cells = [re.split(r"[,;\t ]+", line.strip())[-1] for line in lines]
    return len(cells) > 2 and all(map(_NUMBER.fullmatch, cells)) and any(re.search("[.,;\t]", line) for line in lines)
