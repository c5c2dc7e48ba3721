"""Files to examples. A bad line is an error with file, line and reason; nothing is dropped in silence.

Every reader takes gzip as well, wants UTF-8 and keeps the text as it stands. Where lines need not stay aligned with
anything, blank ones at the end of the file hold nothing; one between examples is an error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from stepscan.data import delimited
from stepscan.data.bad_lines import BadLines, convert, require_some
from stepscan.data.conll.readers import read_sentences, read_tagged, stream_sentences
from stepscan.data.example_types import LabelledText, Pair, TaggedSentence
from stepscan.data.format_detection import first_rows, labelled_format, with_kind
from stepscan.data.headers import Column, candidates
from stepscan.data.labelled_lines import labelled_lines
from stepscan.data.labels import GUESSES, LABELS
from stepscan.data.lines import Line, checked_lines, valid_lines, write_lines
from stepscan.data.series.number_cells import with_points
from stepscan.data.tables import TABLE_SUFFIXES, Table, choose_format, string_value, text_value
from stepscan.errors import DataError, SettingsError, place_of

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
    "stream_sentences",
    "stream_sources",
    "stream_texts",
    "write_lines",
]

_TEXT_GUESSES = ("sentence", "review", "content")
SOURCES, _TARGETS = ("source", "src", "input", "text"), ("target", "tgt", "trg", "output", "translation")
_ANY_LABEL = Column("label", None, sum(GUESSES.values(), ()))
_COLUMNS_HINT = (
    "Name them with --text-column and --label-column (text_column, label_column), by name or by position from 1."
)
_TEXT_HINT = "Name it with --text-column (text_column), by name or by position from 1."
_SOURCE_HINT = "Name it with --source-column (source_column), by name or by position from 1."
_PAIR_HINT = (
    "Name them with --source-column and --target-column (source_column, target_column), by name or by position from 1."
)


def read_labelled(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: str | int | None = None,
    label_column: str | int | None = None,
    decision: str = "class",
    bad_lines: BadLines | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> list[LabelledText]:
    """Texts, each with what is to be decided of it.

    Args:
        path: the file.
        format: "csv", "tsv" (no quoting at all), "jsonl" (one object a line, or one array of them), or "lines" (the
            label, a space, the text; also fastText's `__label__x text`). By default the file's name says: `.csv`,
            `.tsv`, `.jsonl`/`.json`/`.ndjson`; anything else is CSV or TSV if columns are named or its first line has
            both of their names, and "lines" if not.
        text_column, label_column: columns (or JSON keys, `outer.inner` too), by name in any case, or by position from
            1. By default `text`, or else the only one of `sentence`, `review`, `content`; and `label`, or else the only
            one of `class`, `sentiment`, `category`, `target`.
        decision: "class": the label is one string; "labels": any number of them, with commas, semicolons or vertical
            bars between or a list, also guessed from `labels`, `classes`, `categories`, `tags`; "number": a finite
            number, also guessed from `number`, `score`, `rating`, `value`, `target`.
        bad_lines: skips bad lines and counts them; without it the first one is an error.
        delimiter, header: see `stepscan.data.tables.Table`.

    Raises:
        SettingsError: an unknown format, or settings that contradict each other.
        DataError: a file that cannot be read, a missing column, a row with too few or too many fields, an empty text
            or label.
    """
    columns = (Column("text", text_column, _TEXT_GUESSES), Column("label", label_column, GUESSES[decision]))
    kind, lines = _kind_of(path, format, columns, delimiter, header)
    if kind == "lines":
        return labelled_lines(lines, decision, path, bad_lines)
    table = Table(path, kind, columns, _COLUMNS_HINT, bad_lines, delimiter, header)
    rows: Iterator[tuple[int, list[Any]]] = table.rows(lines)
    if decision == "number":
        rows = _with_points(list(rows), path)

    def example(row: tuple[int, list[object]]) -> LabelledText:
        line, (text, label) = row
        return LabelledText(text_value(text, "text", path, line), LABELS[decision](label, path, line))

    return list(require_some(convert(rows, example, bad_lines), path, bad_lines))


def _with_points(rows: list[tuple[int, list[Any]]], path: str | Path) -> Iterator[tuple[int, list[Any]]]:
    strings = [(line, label) for line, (_, label) in rows if isinstance(label, str)]
    numbers = iter(with_points(strings, path))
    return ((line, [text, next(numbers) if isinstance(label, str) else label]) for line, (text, label) in rows)


def _kind_of(
    path: str | Path,
    format: str | None,
    columns: Sequence[Column],
    delimiter: str | None,
    header: bool | None,
    further: Sequence[Column] = (),
) -> tuple[str, Iterator[Line]]:
    """The format of a file of texts, and its lines; the first are looked at where the name does not say it."""
    kind, lines = labelled_format(path, format), checked_lines(path)
    named = delimiter is not None or header is not None or any(column.wanted is not None for column in columns)
    if kind != "lines":
        return kind, lines
    if format == "lines" and named:
        raise SettingsError("A file of lines has no columns to name; give format='csv', 'tsv' or 'jsonl'.")
    if format == "lines":
        return kind, lines
    kind, lines = with_kind(lines, path, columns, further)
    return "table" if named and kind == "lines" else kind, lines


def read_texts(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: str | int | None = None,
    bad_lines: BadLines | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> list[str]:
    """Texts without labels, one a line, or the text column of CSV, TSV or JSON Lines (as in `read_labelled`).

    Empty texts are kept, so that what is computed from them stays aligned with the file.
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
    text = Column("text", text_column, _TEXT_GUESSES)
    kind, lines = _kind_of(path, format, (text,), delimiter, header, (_ANY_LABEL,))
    return _texts(lines, kind, Table(path, kind, (text,), _TEXT_HINT, bad_lines, delimiter, header))


def stream_sources(
    path: str | Path,
    *,
    format: str | None = None,
    source_column: str | int | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Iterator[str]:
    """Texts to translate, one at a time: one a line, or the source of what `read_parallel` reads."""
    source = Column("source", source_column, (*SOURCES, *_TEXT_GUESSES), 1)
    columns: tuple[Column, ...] = (source,)
    kind, lines = _kind_of(path, format, columns, delimiter, header)
    head = [line for line in (next(lines, None),) if line is not None]
    if head and source_column is None and format != "lines" and _is_pair(head[0].text, kind, source):
        kind, columns = "tsv" if kind == "lines" else kind, (source, Column("target", None, _TARGETS, 2))
        logger.info("%s: the first of two columns is read as the source (if not: --format lines)", place_of(path))
    return _texts(chain(head, lines), kind, Table(path, kind, columns, _SOURCE_HINT, None, delimiter, header))


def _is_pair(first: str, kind: str, source: Column) -> bool:
    """Whether the first line is two columns, neither of them by name the source; of lines, with a tab between."""
    rows = (
        [first[:-1].split("\t")] if kind == "lines" else first_rows(first, kind) if kind in delimited.DIALECTS else []
    )
    return not any(candidates(row, source) for row in rows) and any(len(row) == 2 for row in rows)


def _texts(lines: Iterator[Line], kind: str, table: Table) -> Iterator[str]:
    """Lines, or the first column of a table."""
    if kind == "lines":
        return require_some((row for _, row in valid_lines(lines, table.bad_lines)), table.path, table.bad_lines)

    def text_of(row: tuple[int, list[object]]) -> str:
        line, (text, *_) = row
        return string_value(text, table.columns[0].role, table.path, line)

    return require_some(convert(table.rows(lines), text_of, table.bad_lines), table.path, table.bad_lines)


def read_parallel(
    paths: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,
    source_column: str | int | None = None,
    target_column: str | int | None = None,
    bad_lines: BadLines | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> list[Pair]:
    """Pairs of source and target: one file of pairs, or two files with as many lines each.

    Args:
        paths: one table, or two files, source and target, one text a line.
        format: "tsv" (also of every name that says nothing else), "csv", "jsonl" or "lines" (two files); by default as
            the number of files and the name say.
        source_column, target_column: columns (or JSON keys, `outer.inner` too), by name or by position from 1. By
            default `source` and `target`; or else CSV and TSV have exactly two columns.
        bad_lines: skips and counts bad lines, of two files the pair on both sides; without it the first is an error.
        delimiter, header: see `stepscan.data.tables.Table`.

    Raises:
        SettingsError: neither one file nor two, or settings that do not go with their number.
        DataError: a broken row, an empty side, or files with different numbers of lines.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if len(files) not in (1, 2):
        raise SettingsError(f"Expected one file of pairs, or two files of lines, but got {len(files)} files.")
    otherwise = "lines" if len(files) == 2 or format == "lines" else "tsv"
    kind = choose_format(files[0], format or ("lines" if len(files) == 2 else None), TABLE_SUFFIXES, otherwise)
    if (kind == "lines") != (len(files) == 2):
        given = f"format {kind!r} and {len(files)} file{'s' * (len(files) - 1)}"
        raise SettingsError(
            f"Expected one file in format 'tsv', 'csv' or 'jsonl', or two files of 'lines', but got {given}."
        )
    columns = (Column("source", source_column, SOURCES, 1), Column("target", target_column, _TARGETS, 2))
    if kind == "lines":
        if delimiter is not None or header is not None or any(column.wanted is not None for column in columns):
            raise SettingsError("Two files of lines have no columns to name; give one file of pairs.")
        return _lines_of_two(files[0], files[1], bad_lines)
    rows = Table(files[0], kind, columns, _PAIR_HINT, bad_lines, delimiter, header).rows()

    def pair(row: tuple[int, list[object]]) -> Pair:
        line, (source, target) = row
        return Pair(text_value(source, "source", files[0], line), text_value(target, "target", files[0], line))

    return list(require_some(convert(rows, pair, bad_lines), files[0], bad_lines))


def _lines_of_two(source: str | Path, target: str | Path, bad_lines: BadLines | None) -> list[Pair]:
    sources, targets = (list(checked_lines(path)) for path in (source, target))
    if bad_lines is None:
        for error in (line.error for lines in (sources, targets) for line in lines if line.error):
            raise error
    if len(sources) != len(targets):
        reason = f"expected as many lines as in {target}, but this file has {len(sources)} and that one {len(targets)}."
        raise DataError(reason, path=source)

    def side(line: Line, role: str, path: str | Path) -> str:
        if line.error:
            raise line.error
        return text_value(line.text.removesuffix("\n"), role, path, line.number)

    def pair(lines: tuple[Line, Line]) -> Pair:
        return Pair(side(lines[0], "source", source), side(lines[1], "target", target))

    pairs = list(convert(zip(sources, targets, strict=True), pair, bad_lines, unit="pair"))
    if not pairs:
        raise DataError(f"nothing is left of it and {target}: every pair has a bad line.", path=source)
    return pairs
