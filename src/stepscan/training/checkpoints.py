"""Training state on disk, written so that an older valid checkpoint survives any failure.

A checkpoint is a folder `step-N` of `tensors.safetensors`, `state.json` and, last, `manifest.json` with their SHA-256.
It is written under a temporary name in the same folder; every file and the folder are synced; it is renamed, and the
parent folder synced. Only then are older checkpoints removed, all but one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor

from stepscan.errors import ModelFormatError, shown
from stepscan.storage.atomic import sync
from stepscan.storage.ownership import (
    CHECKPOINT_FILES,
    LOCK,
    foreign_in_step,
    is_step,
    remove_checkpoints,
    remove_step,
)
from stepscan.storage.snapshot import digest
from stepscan.untrusted_input import parse_json

_TENSORS, _STATE, _MANIFEST = CHECKPOINT_FILES
_KEPT = 2


class Checkpoint(NamedTuple):
    """The state of a training."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]  # plain values, exact through JSON


class Checkpoints:
    """The checkpoints of one training, in one folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def lock(self) -> Path:
        """The lock file of the process that writes them."""
        return self.folder / LOCK

    def write(self, step: int, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of a step.

        Raises:
            OSError: it could not be written; earlier checkpoints are still there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"step-{step:09}"
        temporary = final.with_suffix(".tmp")
        try:
            remove_step(temporary)
            temporary.mkdir()
            _write_files(temporary, checkpoint)
            remove_step(final)  # of the same step, and broken: a valid one would not be written again
            temporary.rename(final)
            sync(self.folder)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        finally:
            for left_over in self.folder.glob("step-*.tmp"):
                if is_step(left_over):
                    remove_step(left_over)
        for old in self._removable()[_KEPT:]:
            _remove(old)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest valid checkpoint, if there is one, and a message for each newer one that is broken."""
        broken: list[str] = []
        for path in self._all():
            try:
                return _read(path), broken
            except (OSError, ValueError, ModelFormatError, SafetensorError) as error:
                broken.append(f"the checkpoint {path} is broken and skipped: {error}")
        return None, broken

    def clear(self) -> None:
        """Remove all checkpoints, and the folder if nothing else is in it."""
        remove_checkpoints(self.folder)

    def remove_empty(self) -> None:
        """Remove the folder if nothing is in it."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def __bool__(self) -> bool:
        return bool(self._removable())

    def _all(self) -> list[Path]:
        """Newest first."""
        steps = (path for path in self.folder.glob("step-*") if is_step(path))
        return sorted((path for path in steps if path.suffix != ".tmp"), reverse=True)

    def _removable(self) -> list[Path]:
        """Checkpoints without foreign files, newest first."""
        return [path for path in self._all() if foreign_in_step(path) is None]


def _write_files(folder: Path, checkpoint: Checkpoint) -> None:
    save_file(checkpoint.tensors, folder / _TENSORS)
    (folder / _STATE).write_text(json.dumps(checkpoint.state), "utf-8")
    for name in (_TENSORS, _STATE):
        sync(folder / name)
    manifest = {name: digest(folder / name) for name in (_TENSORS, _STATE)}
    (folder / _MANIFEST).write_text(json.dumps(manifest), "utf-8")
    sync(folder / _MANIFEST)
    sync(folder)


def _read(path: Path) -> Checkpoint:
    """Read each file once, so that the bytes that were hashed are those that are used, even if a file changes."""
    manifest = parse_json((path / _MANIFEST).read_text("utf-8"), _MANIFEST)
    if not isinstance(manifest, dict) or set(manifest) != {_TENSORS, _STATE}:
        raise ValueError(f"{_MANIFEST}: expected the hashes of {_TENSORS} and {_STATE}, got {shown(manifest)}")
    content = {name: (path / name).read_bytes() for name in (_TENSORS, _STATE)}
    for name, data in content.items():
        if hashlib.sha256(data).hexdigest() != manifest[name]:
            raise ValueError(f"{name}: expected the SHA-256 of {_MANIFEST}, got another")
    state = json.loads(content[_STATE])
    if not isinstance(state, dict):
        raise ValueError(f"{_STATE}: expected an object, got {shown(state)}")
    return Checkpoint(load(content[_TENSORS]), state)


def _remove(path: Path) -> None:
    """Remove a checkpoint, renamed first so that an interrupted removal does not look like a checkpoint."""
    with contextlib.suppress(OSError):  # the next write tries again
        remove_step(path.rename(path.with_suffix(".tmp")))


def as_checkpoint(state: dict[str, Any]) -> Checkpoint:
    """A nested dictionary of tensors and plain values as a checkpoint: tensors by their dotted path, copied to the CPU,
    and the plain values."""
    tensors: dict[str, Tensor] = {}

    def without_tensors(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            tensors[path] = value.detach().cpu().contiguous().clone()
            return None
        if isinstance(value, dict):
            return {
                name: without_tensors(item, f"{path}.{name}" if path else str(name)) for name, item in value.items()
            }
        return value

    return Checkpoint(tensors, without_tensors(state, ""))


def as_state(checkpoint: Checkpoint, device: str) -> dict[str, Any]:
    """The inverse of `as_checkpoint`, with the tensors on a device."""

    def with_tensors(value: Any, path: str) -> Any:
        if path in checkpoint.tensors:
            return checkpoint.tensors[path].to(device)
        if isinstance(value, dict):
            return {name: with_tensors(item, f"{path}.{name}" if path else name) for name, item in value.items()}
        return value

    state: dict[str, Any] = with_tensors(checkpoint.state, "")
    return state
