"""The format of a file of texts: by its name, or else by its first lines."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from stepscan.data.delimited import DIALECTS, split_sample
from stepscan.data.file_formats import TABLE_SUFFIXES, choose_format
from stepscan.data.headers import Column, find_columns
from stepscan.data.labelled_trees import TREE_FORMATS, TREES, is_tree
from stepscan.data.lines import Line
from stepscan.errors import display_path

logger = logging.getLogger(__name__)

_COLUMN_NAME = re.compile(r"[^\W\d][\w-]*|")  # an index has none
_ARRAY_START = re.compile(r'\s*\[\s*\{\s*("|$)')  # the objects may span several lines


def labelled_format(path: str | Path, format: str | None = None) -> str:
    """The format in which `read_labelled` reads a file: "csv", "tsv", "jsonl", "arrow", "trees", "subtrees" or "lines".

    Raises:
        SettingsError: `format` is none of these.
    """
    return format if format in TREE_FORMATS else choose_format(path, format, TABLE_SUFFIXES, otherwise="lines")


def detect_format(
    lines: Iterator[Line], path: str | Path, columns: Sequence[Column], optional: Sequence[Column] = ()
) -> tuple[str, Iterator[Line]]:
    """Detect the format of a file whose name does not tell it, from its first lines.

    Args:
        lines: of the file.
        path: for messages.
        columns: the columns to read. The file is a table if its first row names all of them, and in addition one of
            `optional`, or else nothing but names.
        optional: see `columns`.

    Returns:
        "jsonl", "table", "trees" or "lines"; and all lines of the file, the first ones too.
    """
    head = [line for line in (next(lines, None),) if line is not None]
    if head and head[0].text.strip() == "[":
        head += [line for line in (next(lines, None),) if line is not None]
    format = format_of_head([line.text for line in head], columns, optional)
    if format == "jsonl":
        logger.info("%s: read as JSON (if not: --format lines)", display_path(path))
    elif format == TREES:
        logger.info("%s: read as labelled trees (if not: --format lines)", display_path(path))
    elif head and _json_keys(head[0].text):
        message = "the first line is a JSON object, read as a text; if a key holds the text, add --format jsonl"
        logger.warning("%s: %s", display_path(path), message)
    return format, chain(head, lines)


def format_of_head(head: Sequence[str], columns: Sequence[Column], optional: Sequence[Column] = ()) -> str:
    """As `detect_format`, given the first line; or the first two, if the first is `[`."""
    if not head:
        return "lines"
    # A line of `label text` cannot begin with a JSON object, but a text alone can: its keys must name the column.
    keys, is_labelled = _json_keys(head[0]), len(columns) > 1
    if _ARRAY_START.match("".join(head)):
        return "jsonl"
    if keys and (is_labelled or all(len(column.matches(keys)) == 1 for column in columns)):
        return "jsonl"
    if any(_is_header(row, columns, optional) for row in first_rows(head[0])):
        return "table"
    return TREES if columns[0].role == "text" and is_tree(head[0]) else "lines"


def first_rows(text: str, format: str = "table") -> list[list[str]]:
    """The fields of a line, split in each dialect of the format."""
    line = Line(1, text)
    return [row for dialect in DIALECTS[format] for row in split_sample([line], dialect)]


def _is_header(row: list[str], columns: Sequence[Column], optional: Sequence[Column]) -> bool:
    if len(row) == 1 or not find_columns(row, columns):
        return False
    return any(column.matches(row) for column in optional) or all(_COLUMN_NAME.fullmatch(name.strip()) for name in row)


def _json_keys(text: str) -> list[str]:
    """The keys of the JSON object in a line; none if it does not hold one."""
    try:
        return list(json.loads(text)) if text.lstrip().startswith("{") else []
    except (ValueError, RecursionError):
        return []
