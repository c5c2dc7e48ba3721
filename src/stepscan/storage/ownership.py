"""Which files belong to a model or a checkpoint: only these may be removed.

A model folder is identified by the `format` key of its `config.json`; files in it, and in a folder of checkpoints, are
identified by their names. Links, other folders and other names are foreign.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from stepscan.storage.configuration import CONFIG, FILES, FORMAT

CHECKPOINTS = "checkpoints"  # the folder in a model folder that has the training state until training ends
CHECKPOINT_FILES = ("tensors.safetensors", "state.json", "manifest.json")  # the last is written last
LOCK = ".lock"  # in a folder of checkpoints
_STEP = re.compile(r"step-\d{9,}(\.tmp)?")
_HALF_WRITTEN = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")
_SAFETENSORS_TEMPORARY = re.compile(r"\.tmp[0-9A-Za-z]{6}")  # only in our *.tmp folders


def is_model(folder: Path) -> bool:
    """Whether the folder's `config.json` has our `format`; the rest of it is not checked."""
    try:
        config = json.loads((folder / CONFIG).read_bytes()) if _is_file(folder / CONFIG) else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("format") == FORMAT


def foreign_in_model(folder: Path) -> Path | None:
    """The first path in a folder, or in its checkpoints, that does not belong to a model."""
    other = _first_foreign(folder, _is_model_file)
    is_inside = other is not None and other.name == CHECKPOINTS and _is_folder(other)
    return foreign_in_checkpoints(other) if other and is_inside else other


def foreign_in_checkpoints(folder: Path) -> Path | None:
    """The first path in a folder that does not belong to the checkpoints of a training run."""
    other = _first_foreign(folder, lambda path: path.name == LOCK or (is_step(path) and foreign_in_step(path) is None))
    return foreign_in_step(other) if other and is_step(other) else other


def foreign_in_step(folder: Path) -> Path | None:
    """The first path in the folder of one checkpoint that does not belong to it."""
    return _first_foreign(
        folder, lambda path: (path.name in CHECKPOINT_FILES or _is_partial_write(path)) and _is_file(path)
    )


def is_step(path: Path) -> bool:
    """Whether the path is a folder with the name of a checkpoint, or of a half-written one (`.tmp`)."""
    return _STEP.fullmatch(path.name) is not None and _is_folder(path)


def remove_model(folder: Path) -> None:
    """Remove the files of a model, and the folder if it is then empty."""
    for path in _list(folder):
        if path.name == CHECKPOINTS:
            remove_checkpoints(path)
        elif _is_model_file(path):
            path.unlink(missing_ok=True)
    _remove_empty(folder)


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints, and the folder if it is then empty."""
    for path in _list(folder):
        if is_step(path):
            remove_step(path)
    with contextlib.suppress(OSError):
        (folder / LOCK).unlink()
    _remove_empty(folder)


def remove_step(folder: Path) -> None:
    """Remove one checkpoint; what holds something else stays."""
    if foreign_in_step(folder) is None:
        for path in _list(folder):
            path.unlink(missing_ok=True)
        _remove_empty(folder)


def _is_model_file(path: Path) -> bool:
    if path.name == CHECKPOINTS:
        return _is_folder(path) and foreign_in_checkpoints(path) is None
    temporary = _HALF_WRITTEN.fullmatch(path.name)
    return ((temporary[1] if temporary else path.name) in FILES or _is_partial_write(path)) and _is_file(path)


def _is_partial_write(path: Path) -> bool:
    return path.parent.suffix == ".tmp" and _SAFETENSORS_TEMPORARY.fullmatch(path.name) is not None


def _first_foreign(folder: Path, belongs: Callable[[Path], bool]) -> Path | None:
    return next((path for path in _list(folder) if not belongs(path)), None)


def _list(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if _is_folder(folder) else []


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(_mode(path))


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    """The mode of the path itself, not of a link's target; 0 if it does not exist."""
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0
