"""What the arguments of layers and patterns may be: one check, and one message, for each kind of value."""

from __future__ import annotations

import math
import numbers
from typing import Any

__all__ = ["check_noise", "check_not_negative", "check_probability"]


def check_probability(**probabilities: Any) -> None:
    """Raise a `ValueError` unless all are numbers of at least 0 and below 1."""
    for name, value in probabilities.items():
        if not (_is_number(value) and 0 <= value < 1):
            raise ValueError(f"{name} must be a probability, at least 0 and below 1, got {value!r:.60}")


def check_noise(**deviations: Any) -> None:
    """Raise a `ValueError` unless all are standard deviations: finite numbers of at least 0."""
    for name, value in deviations.items():
        if not (_is_number(value) and value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a standard deviation, finite and at least 0, got {value!r:.60}")


def check_not_negative(**factors: Any) -> None:
    """Raise a `ValueError` unless all are finite numbers of at least 0."""
    for name, value in factors.items():
        if not (_is_number(value) and value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a finite number of at least 0, got {value!r:.60}")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
