"""What in a folder is a model's or a checkpoint's: only that may ever be removed.

A model folder is known by the format mark in its `config.json`; within it, and in a folder of checkpoints, files are
known by their names. Links, other folders and other names are somebody else's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from stepscan.runtime.configuration import CONFIG, FILES, FORMAT

CHECKPOINTS = "checkpoints"  # the folder in a model's that training state lies in until training ends
CHECKPOINT_FILES = ("tensors.safetensors", "state.json", "manifest.json")  # the last is written last
LOCK = ".lock"  # in a folder of checkpoints
_STEP = re.compile(r"step-\d{9,}(\.tmp)?")
_HALF_WRITTEN = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")
_OF_SAFETENSORS = re.compile(r"\.tmp[0-9A-Za-z]{6}")  # what its file is called while it is written; in our *.tmp alone


def is_model(folder: Path) -> bool:
    """Whether the folder's `config.json` has our mark, be the rest as it may."""
    try:
        config = json.loads((folder / CONFIG).read_bytes()) if _is_file(folder / CONFIG) else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("format") == FORMAT


def foreign_in_model(folder: Path) -> Path | None:
    """The first thing in a folder, or in its checkpoints, that is not of a model."""
    other = _first(folder, _is_of_model)
    is_inside = other is not None and other.name == CHECKPOINTS and _is_folder(other)
    return foreign_in_checkpoints(other) if other and is_inside else other


def foreign_in_checkpoints(folder: Path) -> Path | None:
    """The first thing in a folder that is not of a training's checkpoints."""
    other = _first(folder, lambda path: path.name == LOCK or (is_step(path) and foreign_in_step(path) is None))
    return foreign_in_step(other) if other and is_step(other) else other


def foreign_in_step(folder: Path) -> Path | None:
    """The first thing in the folder of one checkpoint that is not of it."""
    return _first(folder, lambda path: (path.name in CHECKPOINT_FILES or _is_cut_off(path)) and _is_file(path))


def is_step(path: Path) -> bool:
    """Whether it may be the folder of one checkpoint, by its name; `.tmp` while it is written."""
    return _STEP.fullmatch(path.name) is not None and _is_folder(path)


def remove_model(folder: Path) -> None:
    """Remove what is of a model, and the folder if nothing else is in it."""
    for path in _all(folder):
        if path.name == CHECKPOINTS:
            remove_checkpoints(path)
        elif _is_of_model(path):
            path.unlink(missing_ok=True)
    _remove_empty(folder)


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints, and the folder if nothing else is in it."""
    for path in _all(folder):
        if is_step(path):
            remove_step(path)
    with contextlib.suppress(OSError):
        (folder / LOCK).unlink()
    _remove_empty(folder)


def remove_step(folder: Path) -> None:
    """Remove one checkpoint; what holds something else stays."""
    if foreign_in_step(folder) is None:
        for path in _all(folder):
            path.unlink(missing_ok=True)
        _remove_empty(folder)


def _is_of_model(path: Path) -> bool:
    if path.name == CHECKPOINTS:
        return _is_folder(path) and foreign_in_checkpoints(path) is None
    half = _HALF_WRITTEN.fullmatch(path.name)
    return ((half[1] if half else path.name) in FILES or _is_cut_off(path)) and _is_file(path)


def _is_cut_off(path: Path) -> bool:
    return path.parent.suffix == ".tmp" and _OF_SAFETENSORS.fullmatch(path.name) is not None


def _first(folder: Path, is_own: Callable[[Path], bool]) -> Path | None:
    return next((path for path in _all(folder) if not is_own(path)), None)


def _all(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if _is_folder(folder) else []


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(_mode(path))


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    """Of the thing itself, not of what a link leads to; 0 if there is none."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0
