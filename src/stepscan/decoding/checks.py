"""Checks of numbers that users pass, of any numeric type of Python or NumPy."""

from __future__ import annotations

import sys
from numbers import Integral, Real
from typing import Any

from stepscan.errors import SettingsError

LARGEST = sys.float_info.max  # integers may be larger, but arithmetic with floats then fails


def is_whole(value: Any) -> bool:
    """Whether a value is an integer of Python or NumPy; True, False and 2.0 are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_within(value: Any, least: float, most: float = LARGEST) -> bool:
    """Whether a value is a number from `least` to `most`; True, False and NaN are not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    number: Any = value
    return bool(least <= number <= most)


def checked_whole(value: Any, name: str, least: int = 0) -> int:
    """The value of a setting as an int.

    Args:
        value: of the setting.
        name: of the setting.
        least: the smallest value allowed.

    Raises:
        SettingsError: it is not a whole number, or less than `least`.
    """
    if not is_whole(value) or value < least:
        raise SettingsError(f"{name}: expected a whole number, {least} or more, got {value!r}")
    return int(value)
