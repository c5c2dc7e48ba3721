"""Parsing of untrusted input."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from stepscan.errors import ModelFormatError

DEEPEST = 200  # levels of nested lists and objects
_NESTING = bytes(  # change of depth by each byte; 255 is −1
    {ord("["): 1, ord("{"): 1, ord("]"): 255, ord("}"): 255}.get(code, 0) for code in range(256)
)
_SIGNATURES = {
    b"PK\x03\x04": "a zip archive, as torch.save writes",
    b"\x80\x02": "a Python pickle",
    b"\x80\x03": "a Python pickle",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"\x1f\x8b": "gzip data",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"GGUF": "a GGUF file",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself (git lfs pull fetches that)",
}


def parse_json(text: str, where: str | Path, *, finite: bool = True) -> Any:
    """Parse JSON.

    Args:
        text: the JSON.
        where: the file or part of a file, for messages.
        finite: whether all numbers must be finite.

    Raises:
        ModelFormatError: the text is not JSON, is nested too deeply, or has a key twice in one object.
    """
    if _depth(text) > DEEPEST:
        raise ModelFormatError(f"{where}: expected at most {DEEPEST} levels of nesting, got more")
    hooks: dict[str, Any] = {"parse_constant": _reject_constant, "parse_float": _finite_float} if finite else {}
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, **hooks)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{where} is not JSON: {error}") from None


def sniff(content: bytes) -> str:
    """The format that the first bytes of a file identify, as a clause for a message; empty if they identify none."""
    return next((f"it is {what}" for start, what in _SIGNATURES.items() if content.startswith(start)), "")


def _depth(text: str) -> int:
    """The depth of nested lists and objects, without recursion. It wraps around above 32,767, but only after each
    smaller depth was reached."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    encoded = text.replace(r"\\", "").replace(r"\"", "").encode("ascii", "replace")
    quotes = np.frombuffer(encoded, np.uint8) == ord('"')
    changes = np.frombuffer(encoded.translate(_NESTING), np.int8) * ~np.logical_xor.accumulate(quotes)  # not in strings
    return int(np.cumsum(changes, dtype=np.int16).max(initial=0))


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:60]!r} occurs twice in one object")
    return unique


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _finite_float(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:60]} is too large a number")
    return value
