"""What a generator is asked for: numbers, of whatever type they come as."""

from __future__ import annotations

import sys
from numbers import Integral, Real
from typing import Any

from stepscan.errors import SettingsError

LARGEST = sys.float_info.max  # a whole number may be larger, and arithmetic with it then fails


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number: of Python or NumPy, not true or false, and not 2.0."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_within(value: Any, least: float, most: float = LARGEST) -> bool:
    """Whether a value is a number, not true or false or NaN, from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    number: Any = value
    return bool(least <= number <= most)


def checked_whole(value: Any, name: str, least: int = 0) -> int:
    """A setting that is a whole number, `least` or more; anything else is a `SettingsError` that names it."""
    if not is_whole(value):
        raise SettingsError(f"{name} must be a whole number, {least} or more, but is {value!r}")
    if value < least:
        raise SettingsError(f"{name} must be {least} or more, but is {value}")
    return int(value)
