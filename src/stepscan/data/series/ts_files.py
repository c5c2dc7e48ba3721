"""`.ts` files of aeon, sktime and tsml: `v,v,…:second dimension:…:label` per line, optionally below `@` lines and
`@data`; with `@timeStamps true`, `(time,v)` for each value.

The data are checked against the `@` lines. A label is a class (`@classLabel true`, optionally with all classes), or a
number to predict (`@targetLabel true`, where writers add `@classLabel false`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from stepscan.data.lines import read_lines
from stepscan.data.series.regular_series import TimedSeries
from stepscan.data.series.time_options import TimeOptions, refuse_times
from stepscan.data.series.time_step import TimeStep
from stepscan.data.series.timed_values import parse_timed_series, split_dimensions
from stepscan.data.series.values import canonical_label, parse_values, stack_dimensions
from stepscan.errors import DataError, nearest

logger = logging.getLogger(__name__)
Lines = Iterator[tuple[int, str]]


class _Header(NamedTuple):
    """The content of the `@` lines; None where there is no such line."""

    class_label: bool | None = None
    target_label: bool | None = None
    label_line: int | None = None  # the line of the last of these two
    classes: tuple[str, ...] = ()
    dimensions: int | None = None
    univariate: bool | None = None
    length: int | None = None
    equal_length: bool | None = None
    timed: bool = False  # whether each value has a time

    @property
    def labelled(self) -> bool:
        """Whether the text after the last colon is a label: true unless the header denies it."""
        values = {self.class_label, self.target_label} - {None}
        return not values or True in values

    def has_class(self, label: str) -> bool:
        """Whether a class is among those listed, if any are; names may have several words."""
        known = {canonical_label(word) for word in self.classes}
        return not known or canonical_label(label) in known or f" {label} " in f" {' '.join(self.classes)} "


def labelled_series(
    path: str | Path, labelled: bool, problem_type: str | None, options: TimeOptions
) -> Iterator[tuple[TimedSeries, str | None]]:
    """Yield each series, with its times if the file has them, and its label.

    Arguments and errors are those of `stepscan.data.series.readers.stream_labelled_series`.
    """
    header, rows = _read_header(read_lines(path), path)
    _check_labels(header, labelled, problem_type, path)
    if not header.timed:
        refuse_times("ts", options)
    step: TimeStep | None = None
    first: tuple[int, int] | None = None  # the line and the dimensions of the first series
    length = header.length if header.equal_length is not False else None
    for line, row in _series_lines(rows, path):
        parts, label = _split_label(row.strip(), header, path, line)
        if first is None:
            first = line, len(parts)
            _check_dimensions(header, len(parts), path, line)
        if len(parts) != first[1]:
            reason = f"expected {first[1]} dimensions, as in line {first[0]}, got {len(parts)}."
            raise DataError(reason, path=path, line=line)
        series = _parse_series(parts, header, path, line, options, step)
        step = step or series.step
        steps = len(series.values)
        if header.equal_length and line == first[0]:
            length = length or steps
        if length not in (None, steps):
            rule = f"@seriesLength {length}" if header.length else "@equalLength true"
            message = "%s, line %d: expected a series of the length in the header (%s), got %d steps"
            logger.warning(message, path, line, rule, steps)
            length = None  # warn once
        is_unlabelled = label is None or not (labelled or label.strip())  # aeon ends unlabelled lines with a colon
        yield series, None if is_unlabelled else _check_label(label or "", header, path, line)
    if first is None:
        raise DataError("expected series below the header, got none.", path=path)


def _parse_series(
    parts: Sequence[str], header: _Header, path: str | Path, line: int, options: TimeOptions, step: TimeStep | None
) -> TimedSeries:
    if header.timed:
        return parse_timed_series(parts, path, line, options, step)
    values = [parse_values(_cells(part), path, line, number) for number, part in enumerate(parts, start=1)]
    return TimedSeries(stack_dimensions(values, path, line))


def _check_labels(header: _Header, labelled: bool, problem_type: str | None, path: str | Path) -> None:
    """Raise if the header has not the kind of labels that is needed."""
    if labelled and not header.labelled:
        hint = "If each series ends in a number to predict, add the line @targetLabel true."
        raise DataError("expected a class for every series, got @classLabel false.", path=path, hint=hint)
    if header.class_label and header.target_label:
        reason = "expected one kind of label, got @classLabel true and @targetLabel true."
        raise DataError(reason, path=path, line=header.label_line, hint="Write false in one of these lines.")
    if header.target_label and problem_type in ("classification", "multilabel"):
        reason = "expected classes, got @targetLabel true: each series has a number to predict."
        raise DataError(reason, path=path, line=header.label_line, hint="Add --problem-type regression.")


def _split_label(row: str, header: _Header, path: str | Path, line: int) -> tuple[list[str], str | None]:
    """The dimensions of a line, and its label if it has one."""
    parts = split_dimensions(row) if header.timed else row.split(":")
    if header.labelled:
        *parts, label = parts
        if not parts:
            raise DataError(f"expected values, a colon and a label, got {row[:40]!r}.", path=path, line=line)
        return parts, label
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()  # aeon ends every dimension with a colon
    if len(parts) > 1 and len(_cells(parts[-1])) == 1 < len(_cells(parts[0])):
        reason = "expected no label (@classLabel false), got a single value after the last colon."
        hint = "If it is a number to predict, add the line @targetLabel true; if it is a class, @classLabel true."
        raise DataError(reason, path=path, line=line, hint=hint)
    return parts, None


def _check_dimensions(header: _Header, dimensions: int, path: str | Path, line: int) -> None:
    expected = header.dimensions
    if expected not in (None, dimensions) or (header.univariate and dimensions > 1):
        rule = f"@dimensions {expected}" if expected not in (None, dimensions) else "@univariate true"
        label = " and a label" if header.labelled else ""
        reason = f"expected {rule}, as in the header, got {dimensions} dimension{'s' * (dimensions > 1)}{label}."
        raise DataError(reason, path=path, line=line, hint="Correct the header or the line.")


def _cells(part: str) -> Sequence[str]:
    return part.split(",") if part.strip() else ()


def _check_label(text: str, header: _Header, path: str | Path, line: int) -> str:
    label = text.strip()
    if not label:
        raise DataError("expected a label, got an empty string.", path=path, line=line)
    if not header.target_label and not header.has_class(label):
        hint = nearest(label, header.classes).strip()
        raise DataError(
            f"expected a class of the header's @classLabel, got {label!r}.", path=path, line=line, hint=hint
        )
    return label


def _read_header(lines: Lines, path: str | Path) -> tuple[_Header, Iterable[tuple[int, str]]]:
    """The header and the lines of data; a file without `@` lines has only data."""
    header, at_lines = _Header(), 0
    for line, text in lines:
        words = text.split()
        if not words or words[0].startswith("#"):
            continue
        key = words[0].lower()
        if key == "@data":
            return header, lines
        if not key.startswith("@"):
            if at_lines:
                raise DataError("expected @data before the first series, got a series.", path=path, line=line)
            return header, chain([(line, text)], lines)
        at_lines += 1
        header = _read_key(header, key, words[1:], path, line)
    raise DataError("expected series after @data, got a file that ends in its header.", path=path)


def _read_key(header: _Header, key: str, words: Sequence[str], path: str | Path, line: int) -> _Header:
    value = words[0].lower() if words else ""
    if key == "@timestamps":
        return header._replace(timed=value == "true")
    if key in ("@classlabel", "@targetlabel"):
        is_true = _parse_boolean(value, key, words, path, line)
        if key == "@targetlabel":
            return header._replace(target_label=is_true, label_line=line)
        return header._replace(class_label=is_true, label_line=line, classes=tuple(words[1:]))
    if key == "@univariate":
        return header._replace(univariate=_parse_boolean(value, key, words, path, line))
    if key == "@equallength":
        return header._replace(equal_length=_parse_boolean(value, key, words, path, line))
    if not (value.isascii() and value.isdigit() and int(value)):
        return header  # 0 or -1: unknown
    if key == "@serieslength":
        return header._replace(length=int(value))
    return header._replace(dimensions=int(value)) if key in ("@dimensions", "@dimension") else header


def _parse_boolean(value: str, key: str, words: Sequence[str], path: str | Path, line: int) -> bool:
    names = {"@classlabel": "@classLabel", "@targetlabel": "@targetLabel", "@equallength": "@equalLength"}
    if value not in ("true", "false"):
        reason = f"expected true or false after {names.get(key, key)}, got {' '.join(words)[:40]!r}."
        raise DataError(reason, path=path, line=line)
    return value == "true"


def _series_lines(rows: Iterable[tuple[int, str]], path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield lines with a series, without comments and blank lines at the end."""
    blank = math.inf
    for line, row in rows:
        if not row.strip():
            blank = min(blank, line)
        elif blank < line:
            raise DataError("expected a series, got a blank line.", path=path, line=int(blank), hint="Remove it.")
        elif not row.lstrip().startswith("#"):
            yield line, row
