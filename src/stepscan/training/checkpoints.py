"""Training state on disk: written so that whatever happens, an older good checkpoint survives.

A checkpoint is a folder `step-N` of `tensors.safetensors`, `state.json` and, last, `manifest.json` with their SHA-256.
It is written under a temporary name in the same place, every file and the folder synced, then renamed, and the place
synced. Only then are older ones removed, all but one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stepscan.runtime.placing import sync

_FILES = ("tensors.safetensors", "state.json")
_KEPT = 2


class Checkpoint(NamedTuple):
    """All that training needs to go on."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]  # plain values, exact through JSON


class Checkpoints:
    """The checkpoints of one training, in one folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def write(self, step: int, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of a step.

        Raises:
            OSError: it could not be written; what was there before still is.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"step-{step:09}"
        temporary = final.with_suffix(".tmp")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            _write_files(temporary, checkpoint)
            if final.exists():  # of the same step, and broken: a good one would not be written again
                shutil.rmtree(final)
            temporary.rename(final)
            sync(self.folder)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        finally:
            for left_over in self._own(".tmp"):
                shutil.rmtree(left_over, ignore_errors=True)
        for old in self._all()[_KEPT:]:
            _remove(old)

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest whole checkpoint, if there is one, and what is wrong with each newer one that was passed over."""
        broken: list[str] = []
        for path in self._all():
            try:
                return _read(path), broken
            except (OSError, ValueError, KeyError, SafetensorError) as error:
                broken.append(f"the checkpoint {path} is broken and passed over: {error}")
        return None, broken

    def clear(self) -> None:
        """Remove them all, and the folder if nothing else is in it."""
        for path in (*self._own(), *self._own(".tmp")):
            shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def __bool__(self) -> bool:
        return bool(self._all())

    def _all(self) -> list[Path]:
        """Newest first."""
        return sorted(self._own(), reverse=True)

    def _own(self, suffix: str = "") -> list[Path]:
        """The folders that `write` makes; whatever else is there is somebody else's and stays."""
        return [
            path for path in self.folder.glob(f"step-*{suffix}") if re.fullmatch(rf"step-\d{{9,}}{suffix}", path.name)
        ]


def _write_files(place: Path, checkpoint: Checkpoint) -> None:
    save_file(checkpoint.tensors, place / _FILES[0])
    (place / _FILES[1]).write_text(json.dumps(checkpoint.state), "utf-8")
    for name in _FILES:
        sync(place / name)
    manifest = {name: _hash(place / name) for name in _FILES}
    (place / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    sync(place / "manifest.json")
    sync(place)


def _read(path: Path) -> Checkpoint:
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    for name in _FILES:
        if _hash(path / name) != manifest[name]:
            raise ValueError(f"{name} is not what was written: its hash differs")
    return Checkpoint(load_file(path / _FILES[0]), json.loads((path / _FILES[1]).read_text("utf-8")))


def _remove(path: Path) -> None:
    """So that half a removal never looks like a checkpoint."""
    with contextlib.suppress(OSError):  # then one more than needed is kept, and the next write tries again
        shutil.rmtree(path.rename(path.with_suffix(".tmp")))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
