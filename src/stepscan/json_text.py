"""JSON for other programs: strict, as RFC 8259 has it, whatever the figures are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any


def json_text(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """The value as JSON; `null` for a number that is not finite, which JSON cannot say.

    Text is written as it is, except where half a surrogate pair (of a file name that is not UTF-8) has to be escaped.
    """
    try:
        found = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, default=default)
    except ValueError:
        value = _finite(value)
        found = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, default=default)
    try:
        found.isascii() or found.encode()
    except UnicodeEncodeError:
        found = json.dumps(value, allow_nan=False, indent=indent, default=default)
    return found


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
        case float():
            return value if math.isfinite(value) else None
    return value
