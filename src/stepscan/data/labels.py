"""What stands beside a text in a file, as what is to be decided: a class, several labels, or a number."""

from __future__ import annotations

import ast
import json
import logging
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stepscan.data.json_lines import json_kind
from stepscan.data.tables import text_value
from stepscan.errors import DataError

logger = logging.getLogger(__name__)

_FASTTEXT = "__label__"
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_MISSING = {"nan", "<na>", "nat"}  # as pandas writes what is missing
_PERHAPS_MISSING = {"NA", "N/A", "#N/A", "None", "null", "NULL"}
_SEPARATORS = re.compile("[,;|]")


def one_label(value: object, path: str | Path, line: int) -> str:
    """The name of a class; of a JSON number, true or false, as JSON writes it. A whole number has no decimals: `1.0` is
    `1`."""
    if value is None or isinstance(value, list | dict):
        reason = f"expected a string, a number or true or false as the label, but got {json_kind(value)}."
        raise DataError(reason, path=path, line=line)
    text = text_value(value if isinstance(value, str) else json.dumps(value), "label", path, line).strip()
    if text.casefold() in _MISSING:
        hint = "Remove the row, or write a name for what has no label."
        raise DataError(f"the label is missing ({text}).", path=path, line=line, hint=hint)
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def several_labels(value: object, path: str | Path, line: int) -> list[str]:
    """Labels with commas, semicolons or vertical bars between, or a list of them as JSON or Python writes it; there may
    be none."""
    if isinstance(value, str):
        value = _listed(value) if value.strip().startswith("[") else _SEPARATORS.split(value) if value.strip() else []
    return sorted({one_label(each, path, line) for each in (value if isinstance(value, list) else [value])})


def _listed(text: str) -> list[Any]:
    """`["a", "b"]` or `['a', 'b']`; what is neither is split like any other text."""
    try:
        found = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    return found if isinstance(found, list) else _SEPARATORS.split(text)


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
    value: object = label
    if label.startswith(_FASTTEXT):
        marked = _marked(label)
        value = marked[0]
        while text.startswith(_FASTTEXT):
            label, _, text = re.split(r"([ \t]+|$)", text, maxsplit=1)
            marked += _marked(label)
        if len(marked) > 1 and decision != "labels":
            hint = "If each text has several, say --decision labels."
            raise DataError("expected one label, but got several.", path=path, line=line, hint=hint)
        value = marked if decision == "labels" else value
    return text_value(text, "text", path, line), LABELS[decision](value, path, line)


def _marked(label: str) -> list[str]:
    """The labels in `__label__a`, or in `__label__a,__label__b`."""
    return [one.removeprefix(_FASTTEXT) for one in re.split(f"[,;|](?={_FASTTEXT})", label)]


def agreed(labels: Sequence[Any], known: Collection[Any], path: str | Path) -> list[Any]:
    """The labels of more data, spelt as those of a model where only case, decimals, blanks or the composition of
    letters differ (`True` is `true`). One that is not a label of the model is kept."""
    known, spelt = set(known), {_folded(label): label for label in known}
    if len(spelt) < len(known):
        spelt = {}  # case tells labels apart
    strange = {label for label in each_label(labels) if label not in known}
    other = {label: spelt[_folded(label)] for label in strange if _folded(label) in spelt}
    if other:
        shown = ", ".join(_told_apart(a, b, "as") for a, b in sorted(other.items())[:3])
        logger.warning("%s: labels are spelt in another way and read %s", path, shown)
    return [
        sorted({other.get(one, one) for one in label}) if isinstance(label, list) else other.get(label, label)
        for label in labels
    ]


def tell_new(labels: Sequence[Any], known: Collection[Any], path: str | Path) -> None:
    """Log labels that are not among those of a model: it can only be wrong about them. Unless none is: to score them
    is an error of its own."""
    new = sorted(set(each_label(labels)) - set(known))
    if new and set(new) != set(each_label(labels)):
        count = sum(label in new for label in each_label(labels))
        shown = ", ".join(map(repr, new[:3])) + (", …" if len(new) > 3 else "")
        said = f"{count} labels are" if count > 1 else "1 label is"
        header = "; if the first row is a header, name the columns or add --header" * (list(labels[:1]) == new)
        logger.warning("%s: %s not among those learned: %s%s", path, said, shown, header)


def _folded(label: Any) -> str:
    """What labels have in common that differ in case, decimals, blanks or the composition of letters alone."""
    text = " ".join(unicodedata.normalize("NFC", str(label)).split())
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text.casefold()


def _doubt_spelling(labels: Iterable[str], path: str | Path) -> None:
    """Log labels that are told apart by their spelling alone."""
    spelt: dict[str, list[str]] = {}
    for label in sorted(labels):
        spelt.setdefault(_folded(label), []).append(label)
    if alike := [_told_apart(*same[:2]) for same in spelt.values() if len(same) > 1]:
        logger.warning("%s: labels that differ in spelling alone are different labels: %s", path, "; ".join(alike[:3]))


def _told_apart(one: Any, other: Any, link: str = "and") -> str:
    """Two labels, with escapes where they would look the same."""
    alike = len({unicodedata.normalize("NFC", str(label)) for label in (one, other)}) == 1
    show = ascii if alike else repr
    return f"{show(one)} {link} {show(other)}"


def each_label(labels: Iterable[Any]) -> Iterator[Any]:
    """Every label of every example, of which each has one or a list."""
    for label in labels:
        yield from label if isinstance(label, list) else [label]


def question(labels: Sequence[Any], path: str | Path) -> None:
    """Log what is odd about the classes or labels that a model is to learn, and what the cause may be.

    Raises:
        DataError: no two of ten or more texts have the same class.
    """
    counts = Counter(each_label(labels))
    if missing := sorted(_PERHAPS_MISSING & set(counts)):
        logger.warning(
            "%s: %r is a label like any other; if it marks missing ones, remove these rows", path, missing[0]
        )
    _doubt_spelling(counts, path)
    if len(labels) < 10 or isinstance(labels[0], list):
        return
    if len(counts) > len(labels) / 2:
        _doubt_column(labels, counts, path)
    elif [label for label, count in counts.items() if count == 1] == [labels[0]] and len(counts) > 2:
        said = f"only the first row has the label {labels[0]!r}; if it is a header, name the columns or add --header"
        logger.warning("%s: %s", path, said)
    parts = Counter(part.strip() for label in counts for part in _SEPARATORS.split(label))
    several = [label for label in counts if _SEPARATORS.search(label)]
    if several := [label for label in several if all(parts[part.strip()] > 1 for part in _SEPARATORS.split(label))]:
        logger.warning("%s: %r is one class; if it is several labels, add --decision labels", path, several[0])


def _doubt_column(labels: Sequence[str], counts: Counter[str], path: str | Path) -> None:
    said = f"{len(labels)} examples have {len(counts)} different labels, such as {labels[0]!r}"
    hint = "Is it the right column? Name it with --label-column; to predict numbers, add --decision number."
    if len(counts) == len(labels):
        raise DataError(f"expected classes that several texts share, but {said}.", path=path, hint=hint)
    logger.warning("%s: %s. %s", path, said, hint)
