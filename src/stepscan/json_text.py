"""Strict JSON (RFC 8259) for other programs: no NaN, no infinity."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # making one takes longer than encoding a record


def json_text(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """The value as JSON, with `null` for numbers that are not finite.

    Non-ASCII text is not escaped, unless it has lone surrogates (of a file name that is not UTF-8).

    Args:
        value: lists, dictionaries, text, numbers, booleans and None.
        indent: spaces per level; None for one line.
        default: converts other values, as of `json.dumps`.
    """
    try:
        if indent is None and default is None:
            text = _ENCODER.encode(value)
        else:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, default=default)
    except ValueError:
        value = _finite(value)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, default=default)
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, allow_nan=False, indent=indent, default=default)
    return text


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float():
            return value if math.isfinite(value) else None
    return value
