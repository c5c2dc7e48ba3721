"""File formats of the published data sets: how to split a file into records, and what a record contains."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

_LINES, _BLOCKS, _CHARACTERS = "\n", "\n\n", ""  # separators of records


def _label_first(record: str) -> tuple[str, str]:
    label, _, text = record.partition(" ")
    return text, label


def _label_column(record: str) -> tuple[str, str]:
    label, _, text = record.partition("\t")
    return text, label


def _text_column(record: str) -> tuple[str, str]:
    text, _, label = record.rpartition("\t")
    return text, label


def _dimensions(record: str) -> tuple[list[list[float]], str]:
    *dimensions, label = record.split(":")
    return [[float(value) for value in dimension.split(",")] for dimension in dimensions], label.strip()


def _ucr(record: str) -> tuple[list[list[float]], str]:
    label, *values = record.split()
    return [[float(value) for value in values]], label


def _columns(record: str) -> tuple[list[str], list[str]]:
    rows = [line.split("\t") for line in record.split("\n")]
    return [row[0] for row in rows], [row[-1].strip() for row in rows]


def _upos(record: str) -> tuple[list[str], list[str]]:
    rows = [line.split("\t") for line in record.split("\n") if not line.startswith("#")]
    words = [row for row in rows if row[0].isdigit()]  # not 1-2, a contraction, nor 1.1, an empty node
    return [row[1] for row in words], [row[3] for row in words]


def _whole(record: str) -> tuple[str, str]:
    return record, ""


class Format(NamedTuple):
    """A file format, and the options that a user would give to read it."""

    suffix: str  # of file names
    parse: Callable[[str], tuple[Any, Any]] = _whole  # record → input, target
    reading: Mapping[str, Any] = {}  # fields of `stepscan.data.task_data.ReadOptions`
    separator: str = _LINES
    head: str = ""  # how the last line before the records starts

    def split(self, text: str) -> tuple[str, list[str]]:
        """The part before the records, and the records."""
        head = re.match(rf"(?:.*\n)*?{self.head}.*\n", text) if self.head else None
        start = head.end() if head else 0
        if self.separator == _CHARACTERS:
            return text[:start], list(text[start:])
        records = re.split(r"\n\s*\n" if self.separator == _BLOCKS else r"\n", text[start:])
        return text[:start], [record.strip("\n") for record in records if record.strip()]

    def join(self, head: str, records: Sequence[str]) -> str:
        """The text of a file with these records."""
        return head + "".join(record + self.separator for record in records)


LINES = Format(".txt", _label_first)
TSV = Format(".tsv", _label_column, {"label_column": "1", "text_column": "2"})
TEXT_FIRST = Format(".tsv", _text_column, {"label_column": "2", "text_column": "1"})
TS = Format(".ts", _dimensions, head="@data")
UCR = Format(".txt", _ucr, {"format": "ucr"})
CONLL = Format(".conll", _columns, separator=_BLOCKS)
CONLLU = Format(".conllu", _upos, separator=_BLOCKS)
PAIRS = Format(".tsv")
CHARACTERS = Format(".txt", separator=_CHARACTERS)
NUMBERS = Format(".csv", reading={"format": "numbers"}, head="Date")
