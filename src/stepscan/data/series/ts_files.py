"""`.ts` files of aeon, sktime and tsml: `v,v,…:second dimension:…:label` a line, perhaps under `@` lines and `@data`;
with `@timeStamps true`, `(time,v)` in place of each value.

What the `@` lines say is held against the data. A label is a class (`@classLabel true`, perhaps with all classes), or
a number to be predicted (`@targetLabel true`, where their writers add `@classLabel false`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from stepscan.data.lines import read_lines
from stepscan.data.series import timed_values
from stepscan.data.series.regular_series import History
from stepscan.data.series.time_step import TimeOptions, TimeStep, refuse_times
from stepscan.data.series.values import canonical_label, stacked, values_of
from stepscan.errors import DataError, nearest

logger = logging.getLogger(__name__)
Lines = Iterator[tuple[int, str]]


class _Header(NamedTuple):
    """What the `@` lines say; None where they say nothing."""

    class_label: bool | None = None
    target_label: bool | None = None
    label_line: int | None = None  # of the last of these two
    classes: tuple[str, ...] = ()
    dimensions: int | None = None
    univariate: bool | None = None
    length: int | None = None
    equal_length: bool | None = None
    timed: bool = False  # whether each value has a time

    @property
    def labelled(self) -> bool:
        """Whether what follows the last colon is a label; where neither line is there, it is."""
        said = {self.class_label, self.target_label} - {None}
        return not said or True in said

    def names(self, label: str) -> bool:
        """Whether a class is among those named; one of several words is, if they follow each other."""
        known = {canonical_label(one) for one in self.classes}
        return not known or canonical_label(label) in known or f" {label} " in f" {' '.join(self.classes)} "


def labelled_series(
    path: str | Path, labelled: bool, decision: str | None, times: TimeOptions
) -> Iterator[tuple[History, str | None]]:
    """Each series, with its times where the file has them, and its label; see
    `stepscan.data.series.readers.stream_labelled_series`."""
    header, rows = _header(read_lines(path), path)
    _check_decision(header, labelled, decision, path)
    if not header.timed:
        refuse_times("ts", times)
    step: TimeStep | None = None
    first: tuple[int, int] | None = None
    length = header.length if header.equal_length is not False else None
    for line, row in _series_lines(rows, path):
        parts, label = _parted(row.strip(), header, path, line)
        if first is None:
            first = line, len(parts)
            _check_dimensions(header, len(parts), path, line)
        if len(parts) != first[1]:
            reason = f"expected {first[1]} dimensions, as in line {first[0]}, but got {len(parts)}."
            raise DataError(reason, path=path, line=line)
        series = _series(parts, header, path, line, times, step)
        step = step or series.step
        steps = len(series.values)
        if header.equal_length and line == first[0]:
            length = length or steps
        if length not in (None, steps):
            said = f"@seriesLength {length}" if header.length else "@equalLength true"
            logger.warning("%s, line %d: the header says %s, but the series has %d steps", path, line, said, steps)
            length = None  # once is enough
        unlabelled = label is None or not (labelled or label.strip())  # aeon ends a line without a label with a colon
        yield series, None if unlabelled else _label(label or "", header, path, line)
    if first is None:
        raise DataError("the file has a header but no series.", path=path)


def _series(
    parts: Sequence[str], header: _Header, path: str | Path, line: int, times: TimeOptions, step: TimeStep | None
) -> History:
    if header.timed:
        return timed_values.series(parts, path, line, times, step)
    values = [values_of(_cells(part), path, line, number) for number, part in enumerate(parts, start=1)]
    return History(stacked(values, path, line))


def _check_decision(header: _Header, labelled: bool, decision: str | None, path: str | Path) -> None:
    if labelled and not header.labelled:
        hint = "If each ends in a number to be predicted, add the line @targetLabel true."
        raise DataError("its header says @classLabel false, but every series needs a class.", path=path, hint=hint)
    if header.class_label and header.target_label:
        reason = "expected one kind of label, but the header says @classLabel true and @targetLabel true."
        raise DataError(reason, path=path, line=header.label_line, hint="Write false in one of these lines.")
    if header.target_label and decision in ("class", "labels"):
        reason = "expected classes, but @targetLabel says that each series has a number to be predicted."
        raise DataError(reason, path=path, line=header.label_line, hint="Add --decision number.")


def _parted(row: str, header: _Header, path: str | Path, line: int) -> tuple[list[str], str | None]:
    """The dimensions of a line, and its label if it has one."""
    parts = timed_values.parts(row) if header.timed else row.split(":")
    if header.labelled:
        *parts, label = parts
        if not parts:
            raise DataError(f"expected values, a colon and a label, but got {row[:40]!r}.", path=path, line=line)
        return parts, label
    if len(parts) > 1 and not parts[-1].strip():
        parts.pop()  # aeon ends every dimension with a colon
    if len(parts) > 1 and len(_cells(parts[-1])) == 1 < len(_cells(parts[0])):
        reason = "the header says @classLabel false, but a single value follows the last colon."
        hint = "If it is a number to be predicted, add the line @targetLabel true; if it is a class, @classLabel true."
        raise DataError(reason, path=path, line=line, hint=hint)
    return parts, None


def _check_dimensions(header: _Header, found: int, path: str | Path, line: int) -> None:
    one, expected = header.univariate, header.dimensions
    if expected not in (None, found) or (one and found > 1):
        said = f"@dimensions {expected}" if expected not in (None, found) else "@univariate true"
        label = " and a label" if header.labelled else ""
        reason = f"the header says {said}, but the line has {found} dimension{'s' * (found > 1)}{label}."
        raise DataError(reason, path=path, line=line, hint="Correct the header or the line.")


def _cells(part: str) -> Sequence[str]:
    return part.split(",") if part.strip() else ()


def _label(text: str, header: _Header, path: str | Path, line: int) -> str:
    label = text.strip()
    if not label:
        raise DataError("the label is empty.", path=path, line=line)
    if not header.target_label and not header.names(label):
        hint = nearest(label, header.classes).strip()
        raise DataError(f"the header's @classLabel does not name the class {label!r}.", path=path, line=line, hint=hint)
    return label


def _header(lines: Lines, path: str | Path) -> tuple[_Header, Iterable[tuple[int, str]]]:
    """What stands above the data, and the data's lines; a file without `@` lines is all data."""
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
                raise DataError("expected @data before the first series.", path=path, line=line)
            return header, chain([(line, text)], lines)
        at_lines += 1
        header = _read_key(header, key, words[1:], path, line)
    raise DataError("expected series after @data, but the file ends in its header.", path=path)


def _read_key(header: _Header, key: str, words: Sequence[str], path: str | Path, line: int) -> _Header:
    says = words[0].lower() if words else ""
    if key == "@timestamps":
        return header._replace(timed=says == "true")
    if key in ("@classlabel", "@targetlabel"):
        is_so = _truth(says, key, words, path, line)
        if key == "@targetlabel":
            return header._replace(target_label=is_so, label_line=line)
        return header._replace(class_label=is_so, label_line=line, classes=tuple(words[1:]))
    if key == "@univariate":
        return header._replace(univariate=_truth(says, key, words, path, line))
    if key == "@equallength":
        return header._replace(equal_length=_truth(says, key, words, path, line))
    if not (says.isascii() and says.isdigit() and int(says)):
        return header  # a length that is unknown is 0 or -1
    if key == "@serieslength":
        return header._replace(length=int(says))
    return header._replace(dimensions=int(says)) if key in ("@dimensions", "@dimension") else header


def _truth(says: str, key: str, words: Sequence[str], path: str | Path, line: int) -> bool:
    names = {"@classlabel": "@classLabel", "@targetlabel": "@targetLabel", "@equallength": "@equalLength"}
    if says not in ("true", "false"):
        reason = f"expected true or false after {names.get(key, key)}, but got {' '.join(words)[:40]!r}."
        raise DataError(reason, path=path, line=line)
    return says == "true"


def _series_lines(rows: Iterable[tuple[int, str]], path: str | Path) -> Iterator[tuple[int, str]]:
    """Lines with a series, without comments and blank lines at the end."""
    blank = math.inf
    for line, row in rows:
        if not row.strip():
            blank = min(blank, line)
        elif blank < line:
            raise DataError("expected a series, but the line is blank.", path=path, line=int(blank), hint="Remove it.")
        elif not row.lstrip().startswith("#"):
            yield line, row
