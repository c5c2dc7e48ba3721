"""How a file of texts is written: its name says it, or else its first lines do."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from stepscan.data import delimited
from stepscan.data.headers import Column, candidates, places_by_name
from stepscan.data.lines import Line
from stepscan.data.tables import TABLE_SUFFIXES, choose_format
from stepscan.errors import place_of

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[^\W\d][\w-]*|")  # of a column; an index has none
_ARRAY = re.compile(r'\s*\[\s*\{\s*("|$)')  # its objects may go over many lines


def labelled_format(path: str | Path, format: str | None = None) -> str:
    """How `read_labelled` reads a file: "csv", "tsv", "jsonl", "arrow" or "lines"."""
    return choose_format(path, format, TABLE_SUFFIXES, otherwise="lines")


def with_kind(
    lines: Iterator[Line], path: str | Path, columns: Sequence[Column], further: Sequence[Column] = ()
) -> tuple[str, Iterator[Line]]:
    """How lines are written whose file's name does not say it ("jsonl", "table" or "lines"), and all these lines.

    They are a table if their first names all `columns`, and beside these either one of `further` or names alone.
    """
    head = [line for line in (next(lines, None),) if line is not None]
    if head and head[0].text.strip() == "[":
        head += [line for line in (next(lines, None),) if line is not None]
    kind = kind_of_texts([line.text for line in head], columns, further)
    if kind == "jsonl":
        logger.info("%s: read as JSON (if not: --format lines)", place_of(path))
    elif head and _keys(head[0].text):
        said = "the first line is a JSON object, read as a text; if a key holds the text, add --format jsonl"
        logger.warning("%s: %s", place_of(path), said)
    return kind, chain(head, lines)


def kind_of_texts(head: Sequence[str], columns: Sequence[Column], further: Sequence[Column] = ()) -> str:
    """As `with_kind`, of the first lines: one, or two if the first is `[`."""
    if not head:
        return "lines"
    keys, is_labelled = _keys(head[0]), len(columns) > 1  # a labelled line begins with its label, which is no object
    if _ARRAY.match("".join(head)) or (keys and (is_labelled or all(len(candidates(keys, c)) == 1 for c in columns))):
        return "jsonl"
    return "table" if any(_names(row, columns, further) for row in first_rows(head[0])) else "lines"


def first_rows(text: str, format: str = "table") -> list[list[str]]:
    """The fields of a line, as each dialect of the format separates them."""
    line = Line(1, text)
    return [row for dialect in delimited.DIALECTS[format] for row in delimited.sample([line], dialect)]


def _names(row: list[str], columns: Sequence[Column], further: Sequence[Column]) -> bool:
    if len(row) == 1 or not places_by_name(row, columns):
        return False
    return any(candidates(row, column) for column in further) or all(_NAME.fullmatch(name.strip()) for name in row)


def _keys(text: str) -> list[str]:
    """The keys of the JSON object that a line holds, if it does."""
    try:
        return list(json.loads(text)) if text.lstrip().startswith("{") else []
    except (ValueError, RecursionError):
        return []
