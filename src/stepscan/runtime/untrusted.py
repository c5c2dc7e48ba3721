"""What anybody may have written: parsed only if it is plain."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from stepscan.errors import ModelFormatError

DEEPEST = 200  # lists and objects within each other
_STEPS = bytes({ord("["): 1, ord("{"): 1, ord("]"): 255, ord("}"): 255}.get(code, 0) for code in range(256))  # 255: −1
_DISGUISES = {
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


def parsed(text: str, where: str | Path, *, finite: bool = True) -> Any:
    """What JSON says.

    Args:
        text: the JSON.
        where: it stands, for messages.
        finite: whether all numbers must be finite.

    Raises:
        ModelFormatError: it is no JSON, nested too deeply, or has a key twice in one object.
    """
    if _depth(text) > DEEPEST:
        raise ModelFormatError(f"{where} is nested more than {DEEPEST} levels deep; a model's is not")
    hooks: dict[str, Any] = {"parse_constant": _refuse, "parse_float": _finite} if finite else {}
    try:
        return json.loads(text, object_pairs_hook=_distinct, **hooks)
    except (ValueError, RecursionError) as error:
        raise ModelFormatError(f"{where} is not JSON: {error}") from None


def disguise(content: bytes) -> str:
    """What a file is that should be another, as its first bytes tell; empty if they do not."""
    return next((f"it is {what}" for start, what in _DISGUISES.items() if content.startswith(start)), "")


def _depth(text: str) -> int:
    """How many lists and objects are within each other, found without going into them. More than 32,767 wrap around,
    but only after each depth below was passed."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    letters = text.replace(r"\\", "").replace(r"\"", "").encode("ascii", "replace")
    quotes = np.frombuffer(letters, np.uint8) == ord('"')
    steps = np.frombuffer(letters.translate(_STEPS), np.int8) * ~np.logical_xor.accumulate(quotes)  # not in strings
    return int(np.cumsum(steps, dtype=np.int16).max(initial=0))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text[:60]} is too large a number")
    return value
