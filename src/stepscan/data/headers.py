"""Which column of a table has which role, and whether its first row is a header."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stepscan.errors import DataError

_LANGUAGES = (
    "ar bg bn ca cs da de el en es et fa fi fr ga he hi hr hu id is it ja ko lt lv ms nl no pl pt ro ru sk sl sq sr sv "
    "sw ta th tr uk ur vi zh deu eng fra spa ita por nld pol rus jpn zho kor ara tur swe fin ces ukr "
    "arabic chinese czech danish dutch english finnish french german greek hebrew hindi hungarian italian japanese "
    "korean polish portuguese romanian russian spanish swedish turkish ukrainian vietnamese"
)
_USUAL_NAMES = {"id", "index", "text", "label", "source", "target"}  # names of columns, whatever is read
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


class Column(NamedTuple):
    """A column to find in a table.

    Attributes:
        role: what it holds, such as "text"; without a selector, the column of this name is used.
        selector: the user's choice: a name (case matters only between names that differ in nothing else), or a
            position from 1 (an integer or a string of digits); in JSON Lines always a key.
        guesses: names to try if no column is named `role`; exactly one of the columns may have one of them.
        default_position: the position from 1 in a table without a header; None if the column needs a name.
    """

    role: str
    selector: str | int | None = None
    guesses: tuple[str, ...] = ()
    default_position: int | None = None

    @property
    def selected_position(self) -> int | None:
        """The position from 1 that the user chose, or None if the column is chosen by name."""
        digits = str(self.selector)
        return int(digits) if digits.isascii() and digits.isdigit() else None

    @property
    def position(self) -> int | None:
        """The position from 1 in a table without a header, if there is one."""
        return self.selected_position if self.selector is not None else self.default_position

    def is_called(self, name: str) -> bool:
        """Whether a column of this name would be guessed to be it."""
        return name in (self.role, *self.guesses)

    def matches(self, names: Sequence[str]) -> list[int]:
        """The indices (from 0) of the names that may be the column: exactly one if the choice is clear."""
        names = [name.strip() for name in names]
        folded = [name.casefold() for name in names]
        selected = self.role if self.selector is None else str(self.selector)
        matches = [i for i, name in enumerate(names) if name == selected]
        matches = matches or [i for i, name in enumerate(folded) if name == selected.casefold()]
        if self.selector is None:
            matches = matches or [i for i, name in enumerate(folded) if name in self.guesses]
        return matches

    def index_by_position(self, width: int, path: str | Path, line: int) -> int:
        """The index (from 0) of the column in a table of `width` columns.

        Raises:
            DataError: its position is not in the table.
        """
        position = self.position or 0
        if not 1 <= position <= width:
            reason = f"expected the {self.role} in a column from 1 to {width}, got column {position}."
            raise DataError(reason, path=path, line=line)
        return position - 1

    def index_by_name(self, names: Sequence[str], path: str | Path, line: int, *, noun: str, hint: str) -> int:
        """The index (from 0) of the column among names.

        Args:
            names: of the columns (or keys).
            path, line: where the names are, for errors.
            noun: what the names name, "column" or "key".
            hint: tells the user how to choose a column.

        Raises:
            DataError: none or several of the names may be the column.
        """
        matches = self.matches(names)
        if len(matches) != 1:
            raise self.no_match(matches, [name.strip() for name in names], path, line, noun, hint)
        return matches[0]

    def no_match(
        self, matches: Sequence[int], names: Sequence[str], path: str | Path, line: int, noun: str, hint: str
    ) -> DataError:
        """The error if none or several (`matches`) of the names may be the column."""
        name = str(self.selector or self.role)
        if matches:
            candidates = ", ".join(f"{names[i]!r} ({noun} {i + 1})" for i in matches)
            reason = f"expected one {noun} that may be {name!r}, got {len(matches)}: {candidates}."
        else:
            reason = f"expected a {noun} {name!r}, got the {noun}s {', '.join(map(repr, names))}."
        return DataError(reason, path=path, line=line, hint=hint)


def find_columns(names: Sequence[str], columns: Sequence[Column]) -> list[int] | None:
    """The indices (from 0) of columns in a header, of those chosen by position too; None if one is missing."""
    matches = [
        column.matches(names) if column.selected_position is None else [column.selected_position - 1]
        for column in columns
    ]
    if not all(len(indices) == 1 and 0 <= indices[0] < len(names) for indices in matches):
        return None
    return [index for (index,) in matches]


class HeaderDetector(NamedTuple):
    """Decides whether the first row of a table is a header, where all columns are chosen by position.

    Attributes:
        rows: the first rows of the table.
        columns: the columns to read.
        indices: their indices, from 0.
    """

    rows: Sequence[Sequence[str]]
    columns: Sequence[Column]
    indices: Sequence[int]

    @property
    def names(self) -> list[str]:
        """The cells of the first row, for comparison."""
        return [name.strip().casefold() for name in self.rows[0]]

    def is_header(self) -> bool:
        """Whether the first row is a header rather than an example."""
        return self.is_swapped() or self._has_known_name() or self._is_above_numbers() or self._names_languages()

    def is_swapped(self) -> bool:
        """Whether two of the columns have each other's name."""
        pairs = itertools.pairwise(zip(self.columns, self.indices, strict=True))
        return any(a.is_called(self.names[j]) and b.is_called(self.names[i]) for (a, i), (b, j) in pairs if i != j)

    def _has_known_name(self) -> bool:
        """A read column has its own name or another column a usual one, and no read column repeats its name below."""
        named = any(c.is_called(self.names[index]) for c, index in zip(self.columns, self.indices, strict=True))
        others = [i for i in range(len(self.names)) if i not in self.indices and self.names[i] in _USUAL_NAMES]
        return (named or any(map(self._is_unique, others))) and all(map(self._is_unique, self.indices))

    def _is_unique(self, index: int) -> bool:
        return all(row[index].strip().casefold() != self.names[index] for row in self._rows_below(index))

    def _is_above_numbers(self) -> bool:
        """A name is above a column of numbers; or the row has pandas' default names, of the index or of all columns."""
        below = [[row[i].strip() for row in self._rows_below(i)] for i in range(len(self.names))]
        texts = {i for c, i in zip(self.columns, self.indices, strict=True) if c.role != "label"}  # may be numbers
        numeric = [
            i not in texts and len(cells) > 2 and all(map(_NUMBER.fullmatch, cells)) for i, cells in enumerate(below)
        ]
        if self.names == _count_from_zero(len(self.names)):
            return any(numeric) and not all(numeric)
        has_index = not self.names[0] and below[0] == _count_from_zero(len(below[0])) and numeric[0]
        return has_index or any(map(_is_name, itertools.compress(self.names, numeric)))

    def _names_languages(self) -> bool:
        """The row names two languages or more, one above each text that is read."""
        names = [re.split("[-_]", name)[0] for name in self.names]
        languages = set(names) & set(_LANGUAGES.split())
        return self.columns[0].role == "source" and len(languages) > 1 and {names[i] for i in self.indices} <= languages

    def _rows_below(self, index: int) -> list[Sequence[str]]:
        """The other rows that have the column, without those that repeat the first row."""
        rows = [row for row in self.rows[1:] if index < len(row)]
        return [row for row in rows if [cell.strip().casefold() for cell in row] != self.names]


def _count_from_zero(length: int) -> list[str]:
    return [str(i) for i in range(length)]


def _is_name(text: str) -> bool:
    """Whether a cell above numbers is a name rather than a missing value."""
    return bool(re.match(r"[^\W\d_]", text)) and text not in {"nan", "na", "n/a", "null", "none"}


def looks_numeric(text: str) -> bool:
    """Whether the first lines of a text are a table or a column of numbers, with or without a header."""
    lines = [line for line in text.split("\n")[:21] if line.strip()][1:]
    cells = [re.split(r"[,;\t ]+", line.strip())[-1] for line in lines]
    return len(cells) > 2 and all(map(_NUMBER.fullmatch, cells)) and any(re.search("[.,;\t]", line) for line in lines)
