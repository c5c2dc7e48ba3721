"""The labels of a classifier's examples, as files write them: a class, several labels, or a number."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from stepscan.data.example_lines import require_text
from stepscan.data.json_lines import json_kind
from stepscan.errors import DataError

_FASTTEXT = "__label__"
WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")
_MISSING = {"nan", "<na>", "nat"}  # as pandas writes missing values
SEPARATORS = re.compile("[,;|]")


def parse_class(value: object, path: str | Path, line: int) -> str:
    """The name of a class: a string, or a JSON number, true or false as JSON writes it. `1.0` becomes `1`.

    Raises:
        DataError: the label is missing, empty, or of another type.
    """
    if value is None or isinstance(value, list | dict):
        reason = f"expected a string, number, true or false as the label, got {json_kind(value)}."
        raise DataError(reason, path=path, line=line)
    text = require_text(value if isinstance(value, str) else json.dumps(value), "label", path, line).strip()
    if text.casefold() in _MISSING:
        hint = "Remove the row, or write a name for the missing label."
        raise DataError(f"expected a label, got a missing one ({text}).", path=path, line=line, hint=hint)
    whole = WHOLE_NUMBER.fullmatch(text)
    return whole[1] if whole else text


def parse_labels(value: object, path: str | Path, line: int) -> list[str]:
    """Any number of labels, sorted: separated by commas, semicolons or vertical bars, or a JSON or Python list.

    Raises:
        DataError: as `parse_class`, for any of them.
    """
    if isinstance(value, str):
        value = (
            _split_list(value) if value.strip().startswith("[") else SEPARATORS.split(value) if value.strip() else []
        )
    return sorted({parse_class(label, path, line) for label in (value if isinstance(value, list) else [value])})


def _split_list(text: str) -> list[Any]:
    """`["a", "b"]` or `['a', 'b']`; anything else is split at separators like other texts."""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    return value if isinstance(value, list) else SEPARATORS.split(text)


def parse_number(value: object, path: str | Path, line: int) -> float:
    """The number to predict.

    Raises:
        DataError: it is not a finite number.
    """
    try:
        number = math.nan if isinstance(value, bool | list | dict) or value is None else float(str(value))
        number = math.nan if "_" in str(value) else number  # float accepts underscores
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        shown = repr(value) if isinstance(value, str) else json_kind(value)
        raise DataError(f"expected a finite number to predict, got {shown}.", path=path, line=line)
    return number


PARSERS: dict[str, Callable[[object, str | Path, int], Any]] = {
    "classification": parse_class,
    "multilabel": parse_labels,
    "regression": parse_number,
}
COLUMN_NAMES = {
    "classification": ("class", "sentiment", "category", "target"),
    "multilabel": ("labels", "classes", "categories", "tags"),
    "regression": ("number", "score", "rating", "value", "target"),
}


def split_labelled_line(row: str, problem_type: str, path: str | Path, line: int) -> tuple[str, Any]:
    """The text and the label of a line `label text`, or fastText's `__label__x text`.

    Args:
        row: the line.
        problem_type: how the label is parsed, a key of `PARSERS`.
        path, line: where it is, for errors.

    Raises:
        DataError: the text or the label is empty, there are several labels where one is expected, or the label cannot
            be parsed.
    """
    label, _, text = re.split(r"([ \t]+|$)", row, maxsplit=1)
    value: object = label
    if label.startswith(_FASTTEXT):
        labels = _fasttext_labels(label)
        value = labels[0]
        while text.startswith(_FASTTEXT):
            label, _, text = re.split(r"([ \t]+|$)", text, maxsplit=1)
            labels += _fasttext_labels(label)
        if len(labels) > 1 and problem_type != "multilabel":
            hint = "If texts have several labels, add --problem-type multilabel."
            raise DataError(f"expected one label, got {len(labels)}.", path=path, line=line, hint=hint)
        value = labels if problem_type == "multilabel" else value
    return require_text(text, "text", path, line), PARSERS[problem_type](value, path, line)


def _fasttext_labels(label: str) -> list[str]:
    """The labels in `__label__a`, or in `__label__a,__label__b`."""
    return [each.removeprefix(_FASTTEXT) for each in re.split(f"[,;|](?={_FASTTEXT})", label)]


def flatten_labels(labels: Iterable[Any]) -> Iterator[Any]:
    """Every label of every example, each of which has one or a list."""
    for label in labels:
        yield from label if isinstance(label, list) else [label]
