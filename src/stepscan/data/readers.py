"""Files to examples. A bad line is an error with file, line and reason; nothing is dropped in silence.

Every reader takes gzip as well, wants UTF-8 and keeps the text as it stands. Where lines need not stay aligned with
anything, blank ones at the end of the file hold nothing; one between examples is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stepscan.data.bad_lines import BadLines, check_some, keep, refuse
from stepscan.data.conll import read_sentences, read_tagged, stream_sentences
from stepscan.data.examples import LabelledText, Pair, TaggedSentence
from stepscan.data.labels import GUESSES, LABELS, labelled_line
from stepscan.data.lines import Line, read_lines, whole_lines, write_lines
from stepscan.data.tables import (
    TABLE_SUFFIXES,
    Column,
    Table,
    choose_format,
    filled_lines,
    string_value,
    text_value,
)
from stepscan.errors import DataError, SettingsError

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
    "stream_texts",
    "write_lines",
]

_TEXT_GUESSES = ("sentence", "review", "content")
_PAIR_SUFFIXES = {suffix: format for suffix, format in TABLE_SUFFIXES.items() if format != "csv"}


def labelled_format(path: str | Path, format: str | None = None) -> str:
    """How `read_labelled` reads a file: "csv", "tsv", "jsonl" or "lines"."""
    return choose_format(path, format, TABLE_SUFFIXES, otherwise="lines")


def read_labelled(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: str | int | None = None,
    label_column: str | int | None = None,
    decision: str = "class",
    bad_lines: BadLines | None = None,
) -> list[LabelledText]:
    """Texts, each with what is to be decided of it.

    Args:
        path: the file.
        format: "csv", "tsv" (no quoting at all), "jsonl" (one object a line), or "lines" (the label, a space, the
            text; also fastText's `__label__x text`). By default the file's name says: `.csv`, `.tsv`,
            `.jsonl`/`.json`/`.ndjson`, anything else is "lines".
        text_column, label_column: names of columns (or JSON keys), in any case. By default `text`, or else the only
            one of `sentence`, `review`, `content`; and `label`, or else the only one of `class`, `sentiment`,
            `category`, `target`. Two positions from 1 (integers or strings of digits) mean CSV or TSV without a header.
        decision: "class": the label is one string; "labels": any number of them, with commas between or a JSON list,
            also guessed from `labels`, `classes`, `categories`, `tags`; "number": a finite number, also guessed from
            `number`, `score`, `rating`, `value`, `target`.
        bad_lines: skips bad lines and counts them; without it the first one is an error.

    Raises:
        SettingsError: an unknown format, or settings that contradict each other.
        DataError: a file that cannot be read, a missing column, a row with too few or too many fields, an empty text
            or label.
    """
    format = labelled_format(path, format)
    if format == "lines":
        if text_column is not None or label_column is not None:
            raise SettingsError("A file of labelled lines has no columns to name; give format='csv', 'tsv' or 'jsonl'.")

        def labelled(row: tuple[int, str]) -> LabelledText:
            return LabelledText(*labelled_line(row[1], decision, path, row[0]))

        rows = keep(filled_lines(path, bad_lines), labelled, bad_lines)
        return list(check_some(rows, path, bad_lines))
    table = Table(
        path,
        format,
        (Column("text", text_column, _TEXT_GUESSES), Column("label", label_column, GUESSES[decision])),
        hint="Name them with text_column and label_column; for a CSV or TSV file without a header give positions, "
        "text_column=1 and label_column=2.",
        bad_lines=bad_lines,
    )

    def example(row: tuple[int, list[object]]) -> LabelledText:
        line, (text, label) = row
        return LabelledText(text_value(text, "text", path, line), LABELS[decision](label, path, line))

    return list(check_some(keep(table.rows(), example, bad_lines), path, bad_lines))


def read_texts(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: str | int | None = None,
    bad_lines: BadLines | None = None,
) -> list[str]:
    """Texts without labels, one a line, or the text column of CSV, TSV or JSON Lines (as in `read_labelled`).

    Empty texts are kept, so that what is computed from them stays aligned with the file.
    """
    return list(stream_texts(path, format=format, text_column=text_column, bad_lines=bad_lines))


def stream_texts(
    path: str | Path,
    *,
    format: str | None = None,
    text_column: str | int | None = None,
    bad_lines: BadLines | None = None,
) -> Iterator[str]:
    """Like `read_texts`, one at a time."""
    format = labelled_format(path, format)
    if format == "lines":
        if text_column is not None:
            raise SettingsError("A file of one text a line has no columns; give format='csv', 'tsv' or 'jsonl'.")
        return check_some((text for _, text in read_lines(path, bad_lines)), path, bad_lines)
    hint = "Name it with text_column; for a CSV or TSV file without a header give its position, text_column=1."
    table = Table(path, format, (Column("text", text_column, _TEXT_GUESSES),), hint, bad_lines)

    def text_of(row: tuple[int, list[object]]) -> str:
        line, (text,) = row
        return string_value(text, "text", path, line)

    return check_some(keep(table.rows(), text_of, bad_lines), path, bad_lines)


def read_parallel(
    paths: str | Path | Sequence[str | Path], *, format: str | None = None, bad_lines: BadLines | None = None
) -> list[Pair]:
    """Pairs of source and target: one file of pairs, or two files with as many lines each.

    Args:
        paths: one `.tsv` of exactly two columns without a header, one `.jsonl` with the keys `source` and `target`,
            or two files, source and target, one text a line.
        format: "tsv", "jsonl" or "lines" (two files); by default as the number of files and the name say.
        bad_lines: skips and counts bad lines, of two files the pair on both sides; without it the first is an error.

    Raises:
        SettingsError: neither one file nor two, or a format that does not go with their number.
        DataError: a broken row, an empty side, or files with different numbers of lines.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if len(files) not in (1, 2):
        raise SettingsError(f"Expected one file of pairs, or two files of lines, but got {len(files)} files.")
    if len(files) == 2:
        format = format or "lines"
    format = choose_format(files[0], format, _PAIR_SUFFIXES, otherwise="lines")
    if (format == "lines") != (len(files) == 2):
        given = f"format {format!r} and {len(files)} file{'s' * (len(files) - 1)}"
        raise SettingsError(f"Expected one file in format 'tsv' or 'jsonl', or two files of 'lines', but got {given}.")
    if format == "lines":
        return _lines_of_two(files[0], files[1], bad_lines)
    read: Callable[..., Iterator[tuple[int, Any]]] = _two_columns if format == "tsv" else partial(_two_keys, format)

    def pair(row: tuple[int, Any]) -> Pair:
        line, (source, target) = row
        return Pair(text_value(source, "source", files[0], line), text_value(target, "target", files[0], line))

    return list(check_some(keep(read(files[0], bad_lines), pair, bad_lines), files[0], bad_lines))


def _two_columns(path: str | Path, bad_lines: BadLines | None) -> Iterator[tuple[int, list[str]]]:
    for line, row in filled_lines(path, bad_lines):
        fields = row.split("\t")
        if len(fields) == 2:
            yield line, fields
        else:
            reason = f"expected source and target with a tab between, but got {len(fields)} fields."
            refuse(DataError(reason, path=path, line=line), bad_lines)


def _two_keys(format: str, path: str | Path, bad_lines: BadLines | None) -> Iterator[tuple[int, list[object]]]:
    columns = (Column("source"), Column("target"))
    hint = "Write objects with the keys 'source' and 'target'."
    return Table(path, format, columns, hint, bad_lines).rows()


def _lines_of_two(source: str | Path, target: str | Path, bad_lines: BadLines | None) -> list[Pair]:
    sources, targets = (list(whole_lines(path)) for path in (source, target))
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

    pairs = list(keep(zip(sources, targets, strict=True), pair, bad_lines, unit="pair"))
    if not pairs:
        raise DataError(f"nothing is left of it and {target}: every pair has a bad line.", path=source)
    return pairs
