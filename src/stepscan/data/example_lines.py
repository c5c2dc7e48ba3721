"""Files with one example per line, and checks of what a line holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stepscan.data.bad_lines import BadLines, raise_or_skip
from stepscan.data.json_lines import json_kind
from stepscan.data.lines import read_lines
from stepscan.errors import DataError


def read_example_lines(path: str | Path, bad_lines: BadLines | None = None) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a file without blank lines at its end.

    Raises:
        DataError: as `read_lines`; and, without `bad_lines`, a blank line before another line.
    """
    return without_blank_end(read_lines(path, bad_lines), path, bad_lines)


def without_blank_end(
    lines: Iterable[tuple[int, str]], path: str | Path, bad_lines: BadLines | None = None
) -> Iterator[tuple[int, str]]:
    """Yield numbered lines without blank ones at the end; raise or skip a blank line before another line."""
    rows = ((number, [line]) for number, line in lines)
    return ((number, line) for number, (line,) in rows_without_blank_end(rows, path, bad_lines))


def rows_without_blank_end(
    rows: Iterable[tuple[int, list[str]]], path: str | Path, bad_lines: BadLines | None
) -> Iterator[tuple[int, list[str]]]:
    """As `without_blank_end`, for rows that are split into fields."""
    blank_lines: list[int] = []
    for line, row in rows:
        if len(row) == 1 and not row[0].strip():
            blank_lines.append(line)
            continue
        for number in blank_lines:
            reason = "expected an example, got a blank line."
            raise_or_skip(DataError(reason, path=path, line=number, hint="Remove it."), bad_lines)
        blank_lines.clear()
        yield line, row


def require_string(value: object, role: str, path: str | Path, line: int) -> str:
    """The value if it is a string.

    Raises:
        DataError: it is not; names its type.
    """
    if not isinstance(value, str):
        raise DataError(f"expected a string as the {role}, got {json_kind(value)}.", path=path, line=line)
    return value


def require_text(value: object, role: str, path: str | Path, line: int) -> str:
    """The value if it is a string that is not blank.

    Raises:
        DataError: it is not.
    """
    text = require_string(value, role, path, line)
    if not text.strip():
        raise DataError(f"expected a {role}, got an empty string.", path=path, line=line)
    return text
