"""Files to examples. A bad line is an error with file, line and reason; nothing is dropped in silence.

Every reader takes gzip as well, wants UTF-8 and keeps the text as it stands. Where lines need not stay aligned with
anything, blank ones at the end of the file hold nothing; one between examples is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from stepscan.data.conll import read_sentences, read_tagged
from stepscan.data.examples import LabelledText, Pair, TaggedSentence
from stepscan.data.lines import read_lines, write_lines
from stepscan.data.tables import (
    TABLE_SUFFIXES,
    Column,
    Table,
    choose_format,
    filled_lines,
    json_kind,
    string_value,
    text_value,
)
from stepscan.errors import DataError, SettingsError

__all__ = [
    "LabelledText",
    "Pair",
    "TaggedSentence",
    "labelled_format",
    "read_labelled",
    "read_parallel",
    "read_sentences",
    "read_tagged",
    "read_texts",
    "write_lines",
]

_TEXT_GUESSES = ("sentence", "review", "content")
_LABEL_GUESSES = ("class", "sentiment", "category", "target")
_FASTTEXT = "__label__"
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
) -> list[LabelledText]:
    """Texts with one label each, as a string.

    Args:
        path: the file.
        format: "csv", "tsv" (no quoting at all), "jsonl" (one object a line), or "lines" (the label, a space, the
            text; also fastText's `__label__x text`). By default the file's name says: `.csv`, `.tsv`,
            `.jsonl`/`.json`/`.ndjson`, anything else is "lines".
        text_column, label_column: names of columns (or JSON keys), in any case. By default `text`, or else the only
            one of `sentence`, `review`, `content`; and `label`, or else the only one of `class`, `sentiment`,
            `category`, `target`. Two positions from 1 (integers or strings of digits) mean CSV or TSV without a header.

    Raises:
        SettingsError: an unknown format, or settings that contradict each other.
        DataError: a file that cannot be read, a missing column, a row with too few or too many fields, an empty text
            or label.
    """
    format = labelled_format(path, format)
    if format == "lines":
        if text_column is not None or label_column is not None:
            raise SettingsError("A file of labelled lines has no columns to name; give format='csv', 'tsv' or 'jsonl'.")
        return list(_labelled_lines(path))
    table = Table(
        path,
        format,
        (Column("text", text_column, _TEXT_GUESSES), Column("label", label_column, _LABEL_GUESSES)),
        hint="Name them with text_column and label_column; for a CSV or TSV file without a header give positions, "
        "text_column=1 and label_column=2.",
    )
    return [
        LabelledText(text_value(text, "text", path, line), _label(label, path, line))
        for line, (text, label) in table.rows()
    ]


def read_texts(path: str | Path, *, format: str | None = None, text_column: str | int | None = None) -> list[str]:
    """Texts without labels, one a line, or the text column of CSV, TSV or JSON Lines (as in `read_labelled`).

    Empty texts are kept, so that what is computed from them stays aligned with the file.
    """
    format = labelled_format(path, format)
    if format == "lines":
        if text_column is not None:
            raise SettingsError("A file of one text a line has no columns; give format='csv', 'tsv' or 'jsonl'.")
        return [text for _, text in read_lines(path)]
    hint = "Name it with text_column; for a CSV or TSV file without a header give its position, text_column=1."
    table = Table(path, format, (Column("text", text_column, _TEXT_GUESSES),), hint)
    return [string_value(text, "text", path, line) for line, (text,) in table.rows()]


def read_parallel(paths: str | Path | Sequence[str | Path], *, format: str | None = None) -> list[Pair]:
    """Pairs of source and target: one file of pairs, or two files with as many lines each.

    Args:
        paths: one `.tsv` of exactly two columns without a header, one `.jsonl` with the keys `source` and `target`,
            or two files, source and target, one text a line.
        format: "tsv", "jsonl" or "lines" (two files); by default as the number of files and the name say.

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
        return _lines_of_two(*files)
    rows = _two_columns(files[0]) if format == "tsv" else _two_keys(files[0])
    return [
        Pair(text_value(source, "source", files[0], line), text_value(target, "target", files[0], line))
        for line, (source, target) in rows
    ]


def _labelled_lines(path: str | Path) -> Iterator[LabelledText]:
    for line, row in filled_lines(path):
        label, _, text = re.split(r"([ \t]+|$)", row, maxsplit=1)
        if label.startswith(_FASTTEXT) and text.startswith(_FASTTEXT):
            raise DataError("expected one label, but got several.", path=path, line=line)
        yield LabelledText(text_value(text, "text", path, line), _label(label.removeprefix(_FASTTEXT), path, line))


def _label(value: object, path: str | Path, line: int) -> str:
    if value is None or isinstance(value, list | dict):
        reason = f"expected a string, a number or true or false as the label, but got {json_kind(value)}."
        raise DataError(reason, path=path, line=line)
    return text_value(value if isinstance(value, str) else json.dumps(value), "label", path, line).strip()


def _two_columns(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    for line, row in filled_lines(path):
        fields = row.split("\t")
        if len(fields) != 2:
            reason = f"expected source and target with a tab between, but got {len(fields)} fields."
            raise DataError(reason, path=path, line=line)
        yield line, fields


def _two_keys(path: str | Path) -> Iterator[tuple[int, list[object]]]:
    columns = (Column("source"), Column("target"))
    return Table(path, "jsonl", columns, hint="Write objects with the keys 'source' and 'target'.").rows()


def _lines_of_two(source: str | Path, target: str | Path) -> list[Pair]:
    sources, targets = ([text for _, text in read_lines(path)] for path in (source, target))
    if len(sources) != len(targets):
        reason = f"expected as many lines as in {target}, but this file has {len(sources)} and that one {len(targets)}."
        raise DataError(reason, path=source)
    return [
        Pair(text_value(left, "source", source, line), text_value(right, "target", target, line))
        for line, (left, right) in enumerate(zip(sources, targets, strict=True), start=1)
    ]
