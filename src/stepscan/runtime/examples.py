"""The examples that users pass to a model, checked."""

from __future__ import annotations

import logging
import math
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from stepscan.errors import SettingsError
from stepscan.runtime.outline import shown

_LARGEST_LABEL = 2**128  # whole numbers: JSON's are read up to 4,300 digits, which is more than a label needs

logger = logging.getLogger(__name__)
_IMBALANCE = 9  # examples of the most frequent class for one of the rarest: accuracy then says little


def listed(examples: Iterable[Any]) -> list[Any]:
    """The examples as a list, whatever they come as: a list, an array, a column of a table, a generator.

    Raises:
        SettingsError: one text by itself, whose characters would be taken for the examples; something without an
            order, or without items.
    """
    if hasattr(examples, "toarray"):
        raise SettingsError("sparse data are not supported: a sequence is texts or a dense array; give X.toarray()")
    if isinstance(examples, str):
        raise SettingsError(f"a list is needed, got one text, {str(examples)[:40]!r}; put it into a list")
    if hasattr(examples, "__array__"):
        examples = np.asarray(examples)
        if examples.ndim == 1 and examples.dtype.kind == "U":
            return examples.tolist()  # plain strings
    is_one = isinstance(examples, bytes | Mapping | Set) or getattr(examples, "ndim", 1) == 0
    if is_one or not isinstance(examples, Iterable):
        raise SettingsError(f"a list is needed, got {_shown(examples)}{_kind(examples)}")
    return list(examples)


def validation_pair(validation: Any) -> tuple[list[Any], list[Any]]:
    """The examples to validate on and their answers, each as a list."""
    parts = listed(validation)
    if len(parts) != 2:
        raise SettingsError(f"validation must be two lists, the examples and their answers, but it has {len(parts)}")
    return listed(parts[0]), listed(parts[1])


def checked_texts(values: Iterable[Any], what: str = "text", where: str = "") -> list[str]:
    """The values as a list of strings that can be written as UTF-8, or an error that names the one that is not, and
    `where` the values are."""
    found = listed(values)
    for number, value in enumerate(found, start=1):
        if not isinstance(value, str):
            raise SettingsError(
                f"{where}{what} {number} is {_shown(value)}, not a string{_kind(value)}{_remedy(value)}"
            )
        if not _is_unicode(value):
            raise SettingsError(f"{where}{what} {number} is not valid Unicode (half a surrogate pair): {value!r}")
    return found


def one_or_several(texts: str | Iterable[str] | None, name: str) -> list[str]:
    """Texts that an argument gives: one, several, or None for none; `name` is what errors call it."""
    if texts is None or isinstance(texts, str):
        return [] if texts is None else [texts]
    try:
        return checked_texts(list(texts) if isinstance(texts, Set) else texts)
    except SettingsError as error:
        raise SettingsError(f"{name}: {error}") from None


def _shown(value: Any) -> str:
    return reprlib.repr(value.item() if isinstance(value, np.generic) else value)


def _kind(value: Any) -> str:
    """The type, where the value does not say it."""
    return "" if value is None else f" ({type(value).__name__})"


def _remedy(value: Any) -> str:
    if isinstance(value, bytes):
        return "; decode it first"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ": a missing value; remove or replace it"
    if isinstance(value, int | float | np.number):
        return "; give what the number stands for, or str of it"
    return ""


def paired(first: Iterable[Any], second: Iterable[Any], names: tuple[str, str]) -> list[tuple[Any, Any]]:
    """The pairs of two collections of equal length, at least one."""
    left, right = listed(first), listed(second)
    if len(left) != len(right):
        raise SettingsError(f"as many {names[0]} as {names[1]} are needed, got {len(left):,} and {len(right):,}")
    if not left:
        raise SettingsError(f"there are no {names[0]}")
    return list(zip(left, right, strict=True))


def of_one_kind(values: Sequence[Any], what: str) -> list[Any]:
    """The labels as plain values: all strings, all whole numbers (2.0 is one), or all true or false."""
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
    """What a label is: a string, a truth value or a whole number; None for what is not a label."""
    return next((kind for kind in (str, bool, int) if isinstance(label, kind)), None)


def label_problem(label: Any) -> str:
    """Why a model folder cannot keep a label, as a predicate; empty if it can."""
    if isinstance(label, str):
        return "" if _is_unicode(label) else "is not valid Unicode (half a surrogate pair)"
    return "" if abs(label) < _LARGEST_LABEL else "has more than 128 bits"


def label_array(labels: Sequence[Any]) -> np.ndarray:
    """Labels `[N]` in an array that keeps them as they are, as objects if need be: in NumPy's arrays of strings all are
    as long as the longest, without NULs at their ends, and large whole numbers are floats."""
    if all(label_kind(label) is int and -(2**63) <= label < 2**63 for label in labels):
        return np.array(labels, dtype=np.int64)
    if all(label_kind(label) is bool for label in labels):
        return np.array(labels, dtype=bool)
    found = np.empty(len(labels), dtype=object)
    found[:] = labels
    return found


def check_known(labels: Sequence[Any], known: Sequence[Any] | None) -> None:
    """A model that knows none of the true labels is being judged on the wrong ones."""
    if labels and not set(known or ()) & set(labels):
        says, here = (", ".join(map(_named, sorted(values)[:5])) for values in (known or (), set(labels)))
        raise SettingsError(
            f"the model knows none of these labels: it says {says}, but here they are {here}; "
            "is it the right column or --field?"
        )


def warn_of_imbalance(labels: Iterable[Any], what: str, advice: str = "") -> None:
    """Log a warning if some class has many times as many examples as another: accuracy hides the rare one. It ends with
    `advice`."""
    counts = Counter(labels).most_common()
    (frequent, most), (rare, fewest) = counts[0], counts[-1]
    if most >= _IMBALANCE * fewest:
        share = most / sum(count for _, count in counts)
        logger.warning(
            f"the classes of the {what} are imbalanced: {frequent!r} has {most:,} examples, {rare!r} {fewest:,}; "
            f"always answering {frequent!r} would have an accuracy of {share:.2f}, so judge by macro_f1, not by "
            f"accuracy{advice}"
        )


def _is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _named(label: Any) -> str:
    """A label in a message."""
    return str(label) if len(str(label)) <= 60 and str(label).isprintable() else shown(label)
