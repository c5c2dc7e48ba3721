"""Checks of all labels of a file: what looks like a mistake, and labels that differ only in spelling."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from stepscan.data.labels import SEPARATORS, WHOLE_NUMBER, flatten_labels
from stepscan.errors import DataError

logger = logging.getLogger(__name__)

_PERHAPS_MISSING = {"NA", "N/A", "#N/A", "None", "null", "NULL"}


def match_spelling(labels: Sequence[Any], known: Collection[Any], path: str | Path) -> list[Any]:
    """Replace labels by those of a model that differ only in spelling, and log a warning.

    Spelling is case, decimals of whole numbers (`1.0`), whitespace, and the composition of Unicode characters. Nothing
    is replaced if the model's own labels differ only in spelling.

    Args:
        labels: one per example, or a list per example.
        known: the labels of the model.
        path: their file, for the warning.

    Returns:
        the labels; those that the model does not have are unchanged.
    """
    known, by_spelling = set(known), {_normalise(label): label for label in known}
    if len(by_spelling) < len(known):
        by_spelling = {}
    unknown = {label for label in flatten_labels(labels) if label not in known}
    replaced = {label: by_spelling[_normalise(label)] for label in unknown if _normalise(label) in by_spelling}
    if replaced:
        shown = ", ".join(_show_difference(a, b, "as") for a, b in sorted(replaced.items())[:3])
        logger.warning("%s: labels differ in spelling from the model's and are read %s", path, shown)
    return [
        sorted({replaced.get(each, each) for each in label}) if isinstance(label, list) else replaced.get(label, label)
        for label in labels
    ]


def warn_unknown_labels(labels: Sequence[Any], known: Collection[Any], path: str | Path) -> None:
    """Log a warning if some labels are not among those of a model, which is always wrong about them.

    If none is known, nothing is logged: to score such labels is an error of its own.
    """
    unknown = sorted(set(flatten_labels(labels)) - set(known))
    if unknown and set(unknown) != set(flatten_labels(labels)):
        count = sum(label in unknown for label in flatten_labels(labels))
        shown = ", ".join(map(repr, unknown[:3])) + (", …" if len(unknown) > 3 else "")
        number = f"{count} labels are" if count > 1 else "1 label is"
        header = "; if the first row is a header, name the columns or add --header" * (list(labels[:1]) == unknown)
        logger.warning("%s: %s not among those learned: %s%s", path, number, shown, header)


def check_labels(labels: Sequence[Any], path: str | Path) -> None:
    """Check the classes or labels that a model is to learn, and log warnings about likely mistakes.

    Raises:
        DataError: no two of ten or more texts have the same class.
    """
    first = None if not labels or isinstance(labels[0], list) else labels[0]
    check_label_counts(Counter(flatten_labels(labels)), len(labels), first, path)


def check_label_counts(counts: Counter[str], examples: int, first: str | None, path: str | Path) -> None:
    """As `check_labels`, of counted labels.

    Args:
        counts: the number of examples with each label.
        examples: the number of examples.
        first: the label of the first one; None if examples have several labels.
        path: for messages.
    """
    if missing := sorted(_PERHAPS_MISSING & set(counts)):
        message = "%s: %r is read as a label; if it marks missing labels, remove these rows"
        logger.warning(message, path, missing[0])
    _warn_of_spelling(counts, path)
    if examples < 10 or first is None:
        return
    if len(counts) > examples / 2:
        _check_column(first, counts, examples, path)
    elif [label for label, count in counts.items() if count == 1] == [first] and len(counts) > 2:
        message = f"only the first row has the label {first!r}; if it is a header, name the columns or add --header"
        logger.warning("%s: %s", path, message)
    parts = Counter(part.strip() for label in counts for part in SEPARATORS.split(label))
    several = [label for label in counts if SEPARATORS.search(label)]
    if several := [label for label in several if all(parts[part.strip()] > 1 for part in SEPARATORS.split(label))]:
        message = "%s: %r is read as one class; if it is several labels, add --problem-type multilabel"
        logger.warning(message, path, several[0])


def _check_column(first: str, counts: Counter[str], examples: int, path: str | Path) -> None:
    amounts = f"{len(counts)} different labels in {examples} examples, such as {first!r}"
    hint = "Is it the right column? Name it with --label-column; to predict numbers, add --problem-type regression."
    if len(counts) == examples:
        raise DataError(f"expected classes that several texts share, got {amounts}.", path=path, hint=hint)
    logger.warning("%s: %s. %s", path, amounts, hint)


def _warn_of_spelling(labels: Iterable[str], path: str | Path) -> None:
    """Log a warning about labels that differ only in spelling."""
    by_spelling: dict[str, list[str]] = {}
    for label in sorted(labels):
        by_spelling.setdefault(_normalise(label), []).append(label)
    if alike := [_show_difference(*same[:2]) for same in by_spelling.values() if len(same) > 1]:
        shown = "; ".join(alike[:3])
        logger.warning("%s: labels that differ only in spelling are read as different labels: %s", path, shown)


def _normalise(label: Any) -> str:
    """A label without case, decimals, repeated whitespace and differences in the composition of characters."""
    text = " ".join(unicodedata.normalize("NFC", str(label)).split())
    whole = WHOLE_NUMBER.fullmatch(text)
    return whole[1] if whole else text.casefold()


def _show_difference(first: Any, second: Any, link: str = "and") -> str:
    """Two labels, with escapes where they would look the same."""
    look_alike = len({unicodedata.normalize("NFC", str(label)) for label in (first, second)}) == 1
    show = ascii if look_alike else repr
    return f"{show(first)} {link} {show(second)}"
