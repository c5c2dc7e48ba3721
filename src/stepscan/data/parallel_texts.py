"""Parallel texts: pairs of source and target, in one table or in two files of lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from stepscan.data.bad_lines import BadLines, convert, require_some
from stepscan.data.example_lines import require_text
from stepscan.data.example_types import Pair
from stepscan.data.file_formats import TABLE_SUFFIXES, choose_format
from stepscan.data.headers import Column
from stepscan.data.lines import Line, checked_lines
from stepscan.data.tables import Table
from stepscan.data.whole_files import as_list
from stepscan.errors import DataError, SettingsError

SOURCE_NAMES, TARGET_NAMES = ("source", "src", "input", "text"), ("target", "tgt", "trg", "output", "translation")
_PAIR_HINT = (
    "Name them with --source-column and --target-column (source_column, target_column), by name or by position from 1."
)


def stream_parallel(
    paths: str | Path | Sequence[str | Path],
    *,
    format: str | None = None,
    source_column: str | int | None = None,
    target_column: str | int | None = None,
    bad_lines: BadLines | None = None,
    delimiter: str | None = None,
    header: bool | None = None,
) -> Iterator[Pair]:
    """Yield pairs of source and target from one file of pairs, or from two files with the same number of lines.

    Args:
        paths: one table; or two files, source and target, with one text per line.
        format: "tsv", "csv", "jsonl" or "lines" (two files). None: by the number of files and the name; a file whose
            name does not tell its format is TSV.
        source_column, target_column: columns (or JSON keys, `outer.inner` for nested ones), by name or by position from
            1. None: `source` and `target`, or else the two columns of CSV or TSV.
        bad_lines: skips and counts bad lines, in two files the pair; without it the first one is an error.
        delimiter, header: see `stepscan.data.tables.Table`.

    Raises:
        SettingsError: neither one file nor two, or settings that do not fit their number.
        DataError: a bad row, an empty source or target, or files with different numbers of lines.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if len(files) not in (1, 2):
        raise SettingsError(f"expected one file of pairs, or two files of lines, got {len(files)} files.")
    otherwise = "lines" if len(files) == 2 or format == "lines" else "tsv"
    format = choose_format(files[0], format or ("lines" if len(files) == 2 else None), TABLE_SUFFIXES, otherwise)
    if (format == "lines") != (len(files) == 2):
        raise SettingsError(
            "expected one file in format 'tsv', 'csv' or 'jsonl', or two files of 'lines', "
            f"got format {format!r} and {len(files)} file{'s' * (len(files) - 1)}."
        )
    columns = Column("source", source_column, SOURCE_NAMES, 1), Column("target", target_column, TARGET_NAMES, 2)
    if format == "lines":
        if delimiter is not None or header is not None or any(column.selector is not None for column in columns):
            raise SettingsError("two files of lines have no columns to name; give one file of pairs.")
        return _pairs_of_lines(files[0], files[1], bad_lines)
    rows = Table(files[0], format, columns, _PAIR_HINT, bad_lines, delimiter, header).rows()

    def pair(row: tuple[int, list[object]]) -> Pair:
        line, (source, target) = row
        return Pair(require_text(source, "source", files[0], line), require_text(target, "target", files[0], line))

    return require_some(convert(rows, pair, bad_lines), files[0], bad_lines)


read_parallel = as_list(stream_parallel)


def _pairs_of_lines(source: str | Path, target: str | Path, bad_lines: BadLines | None) -> Iterator[Pair]:
    def side(line: Line, role: str, path: str | Path) -> str:
        if line.error:
            raise line.error
        return require_text(line.text.removesuffix("\n"), role, path, line.number)

    def pair(lines: tuple[Line, Line]) -> Pair:
        return Pair(side(lines[0], "source", source), side(lines[1], "target", target))

    empty = True
    for each in convert(_lines_of_both(source, target), pair, bad_lines, unit="pair"):
        empty = False
        yield each
    if empty:
        raise DataError(f"no pair is left of this file and {target}: every pair has a bad line.", path=source)


def _lines_of_both(source: str | Path, target: str | Path) -> Iterator[tuple[Line, Line]]:
    """The lines of two files together."""
    counts = [0, 0]
    for lines in zip_longest(checked_lines(source), checked_lines(target)):
        counts = [count + (line is not None) for count, line in zip(counts, lines, strict=True)]
        first, second = lines
        if first is not None and second is not None:
            yield first, second
    if counts[0] != counts[1]:
        raise DataError(f"expected {counts[1]} lines, as in {target}, got {counts[0]}.", path=source)
