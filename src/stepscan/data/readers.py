"""Readers of labelled texts, texts and pairs of texts. A bad line is an error with file, line and reason.

Files are UTF-8, gzip or plain; texts are not changed. Blank lines at the end of a file of examples are ignored, and one
between examples is an error; files of unlabelled texts keep blank lines, so that outputs stay aligned.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from stepscan.data import input_columns
from stepscan.data.bad_lines import BadLines, convert, require_some
from stepscan.data.conll.readers import read_sentences, read_tagged, stream_sentences, stream_tagged
from stepscan.data.delimited import DIALECTS
from stepscan.data.example_lines import require_string, require_text
from stepscan.data.example_types import LabelledText, Pair, TaggedSentence
from stepscan.data.format_detection import detect_format, first_rows, labelled_format
from stepscan.data.headers import Column
from stepscan.data.labelled_lines import labelled_lines
from stepscan.data.labelled_trees import SUBTREES, TREE_FORMATS, TREES, labelled_trees, tree_texts
from stepscan.data.labels import COLUMN_NAMES, PARSERS
from stepscan.data.line_writer import write_lines
from stepscan.data.lines import Line, checked_lines, valid_lines
from stepscan.data.parallel_texts import TARGET_NAMES, read_parallel, stream_parallel
from stepscan.data.series.number_cells import with_decimal_points
from stepscan.data.tables import Table
from stepscan.data.whole_files import as_list
from stepscan.errors import SettingsError, display_path

logger = logging.getLogger(__name__)

__all__ = [
    "BadLines",
    "LabelledText",
    "Pair",
    "TaggedSentence",
    "labelled_format",
    "read_labelled",
    "read_parallel",
    "read_sentences",
    "read_tagged",
    "read_texts",
    "stream_labelled",
    "stream_parallel",
    "stream_sentences",
    "stream_sources",
    "stream_tagged",
    "stream_texts",
    "write_lines",
]

_ANY_LABEL = Column("label", None, sum(COLUMN_NAMES.values(), ()))
_COLUMNS_HINT = (
    "Name them with --text-column and --label-column (text_column, label_column), by name or by position from 1."
)


def stream_labelled(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: str | int | None = None,
    label_column: str | int | None = None,
    problem_type: str = "classification",
    bad_lines: BadLines | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Iterator[LabelledText]:
    """Yield texts with their labels, one at a time.

    Args:
        path: the file.
        format: "csv", "tsv" (without quoting), "jsonl" (one object per line, or one array of them), "trees" (bracketed
            trees of labelled spans, see `stepscan.data.labelled_trees`; "subtrees": each of their spans is an example),
            or "lines" (the label, a space, the text; also fastText's `__label__x text`). None: by the file's name
            (`.csv`, `.tsv`, `.jsonl`, `.json`, `.ndjson`); any other file is CSV or TSV if columns are named or its
            first line has both of their names, "trees" if its first line is one, and else "lines".
        text_column, label_column: columns (or JSON keys, `outer.inner` for nested ones), by name in any case, or by
            position from 1. None: `text`, or else the only one of `sentence`, `review`, `content`; and `label`, or else
            the only one of `class`, `sentiment`, `category`, `target`.
        problem_type: "classification": the label is one string. "multilabel": any number of labels, separated by
            commas, semicolons or vertical bars, or a list; column names are also `labels`, `classes`, `categories`,
            `tags`. "regression": a finite number; column names are also `number`, `score`, `rating`, `value`, `target`.
        bad_lines: skips and counts bad lines; without it the first one is an error.
        delimiter, header: see `stepscan.data.tables.Table`.

    Raises:
        SettingsError: an unknown format, or settings that contradict each other.
        DataError: the file cannot be read, a column is missing, a row has the wrong number of fields, or a text or
            label is empty.
    """
    columns = (input_columns.text_column(text_column), Column("label", label_column, COLUMN_NAMES[problem_type]))
    format, lines = _open(path, format, columns, delimiter, header)
    if format == "lines":
        return labelled_lines(lines, problem_type, path, bad_lines)
    if format in TREE_FORMATS:
        return labelled_trees(lines, problem_type, path, bad_lines, every_span=format == SUBTREES)
    table = Table(path, format, columns, _COLUMNS_HINT, bad_lines, delimiter, header)
    rows: Iterator[tuple[int, list[Any]]] = table.rows(lines)
    if problem_type == "regression":
        rows = _with_decimal_points(list(rows), path)

    def example(row: tuple[int, list[object]]) -> LabelledText:
        line, (text, label) = row
        return LabelledText(require_text(text, "text", path, line), PARSERS[problem_type](label, path, line))

    return require_some(convert(rows, example, bad_lines), path, bad_lines)


read_labelled = as_list(stream_labelled)


def _with_decimal_points(rows: list[tuple[int, list[Any]]], path: str | Path) -> Iterator[tuple[int, list[Any]]]:
    strings = [(line, label) for line, (_, label) in rows if isinstance(label, str)]
    numbers = iter(with_decimal_points(strings, path))
    return ((line, [text, next(numbers) if isinstance(label, str) else label]) for line, (text, label) in rows)


def _open(
    path: str | Path,
    format: str | None,
    columns: Sequence[Column],
    delimiter: str | None,
    header: bool | None,
    optional: Sequence[Column] = (),
) -> tuple[str, Iterator[Line]]:
    """The format of a file of texts, by its first lines if the name does not tell it; and all its lines."""
    by_name, lines = labelled_format(path, format), checked_lines(path)
    is_table = delimiter is not None or header is not None or any(column.selector is not None for column in columns)
    if format in ("lines", *TREE_FORMATS) and is_table:
        raise SettingsError(f"a file of {format} has no columns to name; expected format 'csv', 'tsv' or 'jsonl'.")
    if by_name != "lines" or format == "lines":
        return by_name, lines
    detected, lines = detect_format(lines, path, columns, optional)
    return "table" if is_table and detected in ("lines", TREES) else detected, lines


def read_texts(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: str | int | None = None,
    bad_lines: BadLines | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> list[str]:
    """Read texts without labels: one per line, or the text column of CSV, TSV or JSON Lines.

    Empty texts are kept, so that outputs stay aligned with the file. Arguments and errors are those of `read_labelled`.
    """
    return list(
        stream_texts(
            path, format=format, text_column=text_column, bad_lines=bad_lines, delimiter=delimiter, header=header
        )
    )


def stream_texts(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: str | int | None = None,
    bad_lines: BadLines | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Iterator[str]:
    """Like `read_texts`, one at a time."""
    text = input_columns.text_column(text_column)
    format, lines = _open(path, format, (text,), delimiter, header, (_ANY_LABEL,))
    return _texts(lines, Table(path, format, (text,), input_columns.TEXT_HINT, bad_lines, delimiter, header))


def stream_sources(
    path: str | Path,
    *,
    format: str | None = None,
    source_column: str | int | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Iterator[str]:
    """Yield texts to translate: one per line, or the source column of a file of pairs.

    Arguments and errors are those of `read_parallel`.
    """
    source = input_columns.source_column(source_column)
    columns: tuple[Column, ...] = (source,)
    detected, lines = _open(path, format, columns, delimiter, header)
    head = [line for line in (next(lines, None),) if line is not None]
    if head and source_column is None and format != "lines" and _is_pair(head[0].text, detected, source):
        detected = "tsv" if detected == "lines" else detected
        columns = (source, Column("target", None, TARGET_NAMES, 2))
        logger.info("%s: the first of two columns is read as the source (if not: --format lines)", display_path(path))
    table = Table(path, detected, columns, input_columns.SOURCE_HINT, None, delimiter, header)
    return _texts(chain(head, lines), table)


def _is_pair(first: str, format: str, source: Column) -> bool:
    """Whether the first line has two columns (of lines: separated by a tab), none of which is named as a source."""
    rows = [first[:-1].split("\t")] if format == "lines" else first_rows(first, format) if format in DIALECTS else []
    return not any(source.matches(row) for row in rows) and any(len(row) == 2 for row in rows)


def _texts(lines: Iterator[Line], table: Table) -> Iterator[str]:
    """The lines, the words of trees, or the first column of a table."""
    if table.format in TREE_FORMATS:
        return tree_texts(lines, table.path, table.bad_lines)
    if table.format == "lines":
        return require_some((row for _, row in valid_lines(lines, table.bad_lines)), table.path, table.bad_lines)

    def first_column(row: tuple[int, list[object]]) -> str:
        line, (text, *_) = row
        return require_string(text, table.columns[0].role, table.path, line)

    return require_some(convert(table.rows(lines), first_column, table.bad_lines), table.path, table.bad_lines)
