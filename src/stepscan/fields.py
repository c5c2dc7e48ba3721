"""What arguments and options may be: one check, and one message, for each kind of value. Nothing here imports torch."""

from __future__ import annotations

import math
import numbers
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stepscan.errors import shown, similar

__all__ = [
    *("Choice", "Duration", "FilePath", "Flag", "Integer", "Kind", "NameOrPath", "Optional", "Real", "Text"),
    *(
        "COUNT",
        "DEVIATION",
        "FACTOR",
        "FLAG",
        "HEAD",
        "POOLING",
        "PROBABILITY",
        "PROBLEM_TYPE",
        "SIZE",
        "choose_heads",
    ),
]
MOST = 2**31 - 1
_MIN_HEAD_SIZE = 32  # of attention, if the number of heads is chosen by `choose_heads`


class Kind(ABC):
    """A kind of value."""

    cli_type: type = str  # what it is written as on a command line

    @property
    @abstractmethod
    def words(self) -> str:
        """What is expected, for messages: such as `a whole number of at least 1`."""

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether a value is of this kind."""

    def check(self, name: str, value: Any) -> None:
        """Check the value of an argument of that name.

        Raises:
            ValueError: says what was expected and what arrived.
        """
        if not self.accepts(value):
            raise ValueError(f"{name}: expected {self.words}, got {shown(value)}")

    def check_field(self, owner: Any, name: str, value: Any) -> None:
        """Check the value of a field of an object; see `check`.

        Raises:
            TypeError, ValueError: says what was expected and what arrived.
        """
        self.check(name, value)

    def parse(self, text: Any) -> Any:
        """The value that a command line or a configuration file writes so; most are what they look like."""
        return text


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number from `least` to `most`; the upper bounds refuse at once what no machine holds."""

    least: int
    most: int = MOST

    cli_type = int

    @property
    def words(self) -> str:
        if self.most == MOST:
            return f"a whole number of at least {self.least:,}"
        return f"a whole number from {self.least:,} to {self.most:,}"

    def accepts(self, value: Any) -> bool:
        return self._is_whole(value) and self.least <= int(value) <= self.most

    def check(self, name: str, value: Any) -> None:
        """See `Kind.check`; a larger value is an error that names the upper bound alone.

        Raises:
            ValueError: the value is not of this kind.
        """
        if self._is_whole(value) and value > self.most:
            raise ValueError(f"{name}: expected at most {self.most:,}, got {shown(value)}")
        super().check(name, value)

    @staticmethod
    def _is_whole(value: Any) -> bool:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)


@dataclass(frozen=True)
class Real(Kind):
    """A number from `least` to `most`, the ends included unless they are `open`."""

    least: float = -math.inf
    most: float = math.inf
    open_least: bool = False
    open_most: bool = False
    finite: bool = True

    cli_type = float

    @property
    def words(self) -> str:
        low = "" if self.least == -math.inf else f"{'above' if self.open_least else 'of at least'} {self.least:g}"
        high = "" if self.most == math.inf else f"{'below' if self.open_most else 'at most'} {self.most:g}"
        return " ".join(filter(None, ("a", "finite" if self.finite and not high else "", "number", low))) + (
            f"{' and' if low else ''} {high}" if high else ""
        )

    def accepts(self, value: Any) -> bool:
        if not _is_number(value):
            return False
        above = self.least < value if self.open_least else self.least <= value
        below = value < self.most if self.open_most else value <= self.most
        return above and below and (not self.finite or _is_finite(value))


@dataclass(frozen=True)
class Choice(Kind):
    """One of several words."""

    values: Sequence[str]

    @property
    def words(self) -> str:
        names = [repr(value) for value in self.values]
        return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.values

    def check(self, name: str, value: Any) -> None:
        """See `Kind.check`; the message suggests the nearest word.

        Raises:
            ValueError: the value is not one of the words.
        """
        if not self.accepts(value):
            hint = similar(str(value), self.values)
            raise ValueError(f"{name}: expected {self.words}, got {shown(value)}{hint and '.'}{hint}")


@dataclass(frozen=True)
class Flag(Kind):
    """True or False; on a command line, `--NAME` and `--no-NAME`, or `--DENIED` where that has a name of its own."""

    denied: str = ""

    cli_type = bool
    words = "True or False"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Text(Kind):
    """Any string."""

    words = "a string"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str)


@dataclass(frozen=True)
class FilePath(Kind):
    """A path, as a string or `os.PathLike`."""

    words = "a path"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str | os.PathLike)


@dataclass(frozen=True)
class NameOrPath(Kind):
    """A name, or a path, as a string or `os.PathLike`."""

    words = "a name or a path"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str | os.PathLike)


@dataclass(frozen=True)
class Duration(Kind):
    """Seconds; text such as `90s`, `10m` or `1h30m` is read, too."""

    seconds: Real

    @property
    def words(self) -> str:
        return f"seconds, {self.seconds.words}"

    def accepts(self, value: Any) -> bool:
        return self.seconds.accepts(value)

    def parse(self, text: Any) -> float:
        """Raises a `ValueError` unless it is a duration."""
        parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", str(text).strip())
        if not parts or not any(parts.groups()):
            raise ValueError(f"expected a duration such as 90s, 10m or 1h30m, got {text!r}")
        hours, minutes, seconds = (float(part or 0) for part in parts.groups())
        return hours * 3600 + minutes * 60 + seconds


@dataclass(frozen=True)
class Optional(Kind):
    """None, or a value of another kind."""

    kind: Kind

    @property
    def words(self) -> str:
        return f"None or {self.kind.words}"

    def accepts(self, value: Any) -> bool:
        return value is None or self.kind.accepts(value)

    def check(self, name: str, value: Any) -> None:
        """See `Kind.check`."""
        if value is not None:
            self.kind.check(name, value)


class _Probability(Real):
    words = "a probability, at least 0 and below 1"


class _Deviation(Real):
    words = "a standard deviation, finite and at least 0"


SIZE, COUNT, FLAG = Integer(1), Integer(0), Flag()
PROBABILITY, DEVIATION, FACTOR = _Probability(0, 1, open_most=True), _Deviation(0), Real(0)
POOLING = Choice(("last", "mean", "max", "attention"))
HEAD = Choice(("gaussian", "quantile"))  # of a forecaster
PROBLEM_TYPE = Choice(("classification", "multilabel", "regression"))


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def choose_heads(hidden_size: int, heads: int = 0) -> int:
    """The number of attention heads; for 0 the largest one with heads of size 32 or more, at least 1.

    Raises:
        ValueError: `heads` does not divide the hidden size.
    """
    error = ValueError(f"heads: expected a divisor of the hidden size {hidden_size}, got {shown(heads)}")
    if type(heads) is not int or heads < 0:
        raise error
    divisors = [n for n in range(1, hidden_size + 1) if hidden_size % n == 0 and hidden_size // n >= _MIN_HEAD_SIZE]
    heads = heads or max(divisors, default=1)
    if hidden_size % heads:
        raise error
    return heads
