"""Checks of the examples that users pass to a model."""

from __future__ import annotations

import logging
import math
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from stepscan.errors import SettingsError, shown

_LARGEST_LABEL = 2**128  # whole numbers: JSON's are read up to 4,300 digits, which is more than a label needs

logger = logging.getLogger(__name__)
_IMBALANCE_RATIO = 9  # examples of the most frequent class per example of the rarest that make accuracy misleading


def as_list(examples: Iterable[Any]) -> list[Any]:
    """The examples as a list, from a list, an array, a column of a table or a generator.

    Raises:
        SettingsError: it is a single text, has no order (a set, a dictionary), is sparse, or is not iterable.
    """
    if hasattr(examples, "toarray"):
        raise SettingsError("X: expected texts or a dense array, got sparse data; give X.toarray()")
    if isinstance(examples, str):
        raise SettingsError(f"expected a list, got one text, {str(examples)[:40]!r}; put it into a list")
    if hasattr(examples, "__array__"):
        examples = np.asarray(examples)
        if examples.ndim == 1 and examples.dtype.kind == "U":
            return examples.tolist()  # plain strings
    is_unordered = isinstance(examples, bytes | Mapping | Set) or getattr(examples, "ndim", 1) == 0
    if is_unordered or not isinstance(examples, Iterable):
        raise SettingsError(f"expected a list, got {_shown_value(examples)}{_shown_type(examples)}")
    return list(examples)


def validation_pair(validation: Any) -> tuple[list[Any], list[Any]]:
    """The validation examples and their targets, each as a list.

    Raises:
        SettingsError: there are not two parts, or one is not a list.
    """
    parts = as_list(validation)
    if len(parts) != 2:
        raise SettingsError(f"validation: expected two lists, of examples and of targets, got {len(parts)}")
    return as_list(parts[0]), as_list(parts[1])


def checked_texts(values: Iterable[Any], what: str = "text", where: str = "") -> list[str]:
    """The values as a list of strings that can be encoded as UTF-8.

    Args:
        values: the strings.
        what: the name of one of them, for messages.
        where: a prefix for messages.

    Raises:
        SettingsError: names the first value that is not such a string.
    """
    texts = as_list(values)
    for number, value in enumerate(texts, start=1):
        if not isinstance(value, str):
            raise SettingsError(
                f"{where}{what} {number}: expected a string, got {_shown_value(value)}{_shown_type(value)}"
                f"{_advice(value)}"
            )
        if not _is_unicode(value):
            raise SettingsError(f"{where}{what} {number}: expected valid Unicode, got half a surrogate pair: {value!r}")
    return texts


def as_texts(texts: str | Iterable[str] | None, name: str) -> list[str]:
    """The texts of an argument that is one text, several, or None.

    Raises:
        SettingsError: it is none of these; the message calls it `name`.
    """
    if texts is None or isinstance(texts, str):
        return [] if texts is None else [texts]
    try:
        return checked_texts(list(texts) if isinstance(texts, Set) else texts)
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from None


def _shown_value(value: Any) -> str:
    return reprlib.repr(value.item() if isinstance(value, np.generic) else value)


def _shown_type(value: Any) -> str:
    """The type in parentheses; empty for None."""
    return "" if value is None else f" ({type(value).__name__})"


def _advice(value: Any) -> str:
    if isinstance(value, bytes):
        return "; decode it first"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ", a missing value; remove or replace it"
    if isinstance(value, int | float | np.number):
        return "; pass the text that the number stands for, or str(number)"
    return ""


def make_pairs(first: Iterable[Any], second: Iterable[Any], names: tuple[str, str]) -> list[tuple[Any, Any]]:
    """The pairs of two collections of equal length, at least one.

    Raises:
        SettingsError: the lengths differ or are 0.
    """
    first_list, second_list = as_list(first), as_list(second)
    if len(first_list) != len(second_list):
        raise SettingsError(
            f"expected as many {names[0]} as {names[1]}, got {len(first_list):,} and {len(second_list):,}"
        )
    if not first_list:
        raise SettingsError(f"{names[0]}: expected at least one, got none")
    return list(zip(first_list, second_list, strict=True))


def checked_labels(values: Sequence[Any], what: str) -> list[Any]:
    """The labels as plain values: all strings, all whole numbers (2.0 is one), or all booleans.

    Raises:
        SettingsError: names the first label of another type, or that a model folder cannot store.
    """
    labels = [value.item() if isinstance(value, np.generic) else value for value in values]
    labels = [int(label) if isinstance(label, float) and label.is_integer() else label for label in labels]
    kind = label_kind(labels[0]) if labels else None
    for number, label in enumerate(labels, start=1):
        if label_kind(label) is None or label_kind(label) is not kind:
            hint = "; to predict continuous numbers, use problem_type='regression'" if isinstance(label, float) else ""
            raise SettingsError(f"{what} {number}: expected all strings or all whole numbers, got {shown(label)}{hint}")
        if problem := label_problem(label):
            raise SettingsError(f"{what} {number} {problem}: {shown(label)}")
    return labels


def label_kind(label: Any) -> type | None:
    """The type of a label: str, bool or int; None for a value that is not a label."""
    return next((kind for kind in (str, bool, int) if isinstance(label, kind)), None)


def label_problem(label: Any) -> str:
    """Why a model folder cannot store a label, as a predicate for messages; empty if it can."""
    if isinstance(label, str):
        return "" if _is_unicode(label) else "is not valid Unicode (half a surrogate pair)"
    return "" if abs(label) < _LARGEST_LABEL else "has more than 128 bits"


def label_array(labels: Sequence[Any]) -> np.ndarray:
    """Labels as an array `[N]` that preserves them, of objects if necessary: NumPy's arrays of strings take the space
    of the longest for each and drop NULs at the end, and large whole numbers become floats."""
    if all(label_kind(label) is int and -(2**63) <= label < 2**63 for label in labels):
        return np.array(labels, dtype=np.int64)
    if all(label_kind(label) is bool for label in labels):
        return np.array(labels, dtype=bool)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def check_known(labels: Sequence[Any], known: Sequence[Any] | None) -> None:
    """Check that the model was trained on at least one of the true labels.

    Raises:
        SettingsError: it was trained on none of them, as when the wrong column is read.
    """
    if labels and not set(known or ()) & set(labels):
        expected, got = (", ".join(map(_shown_label, sorted(values)[:5])) for values in (known or (), set(labels)))
        raise SettingsError(
            f"labels: expected those of the model, {expected}, got only others, {got}; check the column or --field"
        )


def warn_of_imbalance(labels: Iterable[Any] | Mapping[Any, int], what: str, advice: str = "") -> None:
    """Log a warning if the most frequent class has at least 9 times as many examples as the rarest.

    Args:
        labels: the label of each example, or the number of examples of each label.
        what: the name of the data, for the message.
        advice: the end of the message.
    """
    counts = Counter(labels).most_common()
    (majority, majority_count), (minority, minority_count) = counts[0], counts[-1]
    if majority_count >= _IMBALANCE_RATIO * minority_count:
        share = majority_count / sum(count for _, count in counts)
        logger.warning(
            f"the classes of the {what} are imbalanced: {majority!r} has {majority_count:,} examples, "
            f"{minority!r} {minority_count:,}; always answering {majority!r} would have an accuracy of {share:.2f}, "
            f"so judge by macro_f1, not by accuracy{advice}"
        )


def _is_unicode(text: str) -> bool:
    """Whether it can be encoded as UTF-8."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _shown_label(label: Any) -> str:
    """A label in a message."""
    return str(label) if len(str(label)) <= 60 and str(label).isprintable() else shown(label)
