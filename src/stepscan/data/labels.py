"""What stands beside a text in a file, as what is to be decided: a class, several labels, or a number."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stepscan.data.tables import json_kind, text_value
from stepscan.errors import DataError

_FASTTEXT = "__label__"


def one_label(value: object, path: str | Path, line: int) -> str:
    """The name of a class; of a JSON number, true or false, as JSON writes it."""
    if value is None or isinstance(value, list | dict):
        reason = f"expected a string, a number or true or false as the label, but got {json_kind(value)}."
        raise DataError(reason, path=path, line=line)
    return text_value(value if isinstance(value, str) else json.dumps(value), "label", path, line).strip()


def several_labels(value: object, path: str | Path, line: int) -> list[str]:
    """Labels with commas between, or a JSON list of them; none at all may be."""
    if isinstance(value, str):
        value = value.split(",") if value.strip() else []
    return sorted({one_label(each, path, line) for each in (value if isinstance(value, list) else [value])})


def number_label(value: object, path: str | Path, line: int) -> float:
    """A finite number."""
    try:
        number = math.nan if isinstance(value, bool | list | dict) or value is None else float(str(value))
        number = math.nan if "_" in str(value) else number  # Python's own way of writing numbers
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        shown = repr(value) if isinstance(value, str) else json_kind(value)
        raise DataError(f"expected a finite number to be predicted, but got {shown}.", path=path, line=line)
    return number


LABELS: dict[str, Callable[[object, str | Path, int], Any]] = {
    "class": one_label,
    "labels": several_labels,
    "number": number_label,
}
GUESSES = {
    "class": ("class", "sentiment", "category", "target"),
    "labels": ("labels", "classes", "categories", "tags"),
    "number": ("number", "score", "rating", "value", "target"),
}


def labelled_line(row: str, decision: str, path: str | Path, line: int) -> tuple[str, Any]:
    """`label text`, also fastText's `__label__x text`: the text, and what is to be decided of it."""
    label, _, text = re.split(r"([ \t]+|$)", row, maxsplit=1)
    value: object = label.removeprefix(_FASTTEXT)
    if label.startswith(_FASTTEXT):
        marked = [value]
        while text.startswith(_FASTTEXT):
            label, _, text = re.split(r"([ \t]+|$)", text, maxsplit=1)
            marked.append(label.removeprefix(_FASTTEXT))
        if len(marked) > 1 and decision != "labels":
            hint = "If each text has several, say --decision labels."
            raise DataError("expected one label, but got several.", path=path, line=line, hint=hint)
        value = marked if decision == "labels" else value
    return text_value(text, "text", path, line), LABELS[decision](value, path, line)
