"""Files that anybody may have written: read whole only if they are regular and small, parsed only if they are plain."""

from __future__ import annotations

import json
import math
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from stepscan.errors import ModelFormatError

DEEPEST = 200  # lists and objects within each other
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


def checked_size(path: Path) -> int:
    """The size in bytes of a file that is there and regular.

    Raises:
        ModelFormatError: it is missing, a folder or a device, or a link that leads nowhere.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        reason = f"leads to {path.readlink()}, which is not there" if path.is_symlink() else "is missing"
        raise ModelFormatError(f"{path.parent} is no whole model folder: {path.name} {reason}") from None
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a device"
        raise ModelFormatError(f"{path.parent} is no whole model folder: {path.name} is {what}, not a file")
    return found.st_size


def read_text(path: Path, largest: int) -> str:
    """The content of a regular UTF-8 file of at most `largest` bytes; otherwise a `ModelFormatError`."""
    size = checked_size(path)
    if size > largest:
        raise ModelFormatError(f"{path} has {size:,} bytes; {path.name} of a model has at most {largest:,}")
    try:
        with path.open("rb") as file:
            content = file.read(size)
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{path} cannot be read: {disguise(content) or error}") from None


def read_json(path: Path, largest: int) -> Any:
    """What a JSON file of at most `largest` bytes holds; otherwise a `ModelFormatError`."""
    return parsed(read_text(path, largest), path)


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
    """How many lists and objects are within each other, found without going into them."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return 0
    letters = np.frombuffer(text.replace(r"\\", "").replace(r"\"", "").encode("ascii", "replace"), dtype=np.uint8)
    steps = np.zeros(256, dtype=np.int8)
    steps[list(b"[{")], steps[list(b"]}")] = 1, -1
    inside = np.logical_xor.accumulate(letters == ord('"'))  # of strings, as far as this is JSON
    return int(np.cumsum(steps[letters] * ~inside, dtype=np.int32).max(initial=0))


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
