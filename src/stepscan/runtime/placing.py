"""Model folders put in their place whole or not at all: written beside it under a temporary name, synced, renamed."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from stepscan.errors import StepscanError

CHECKPOINTS = "checkpoints"  # the folder in a model's that training state lies in until training ends


def sync(path: Path) -> None:
    """Have what was written to a file or folder reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_free(path: str | Path, *, overwrite: bool) -> None:
    """Raise unless a model may be written to `path`: nothing there but checkpoints, or a model and `overwrite`."""
    target = Path(path).resolve()
    if target.is_file() or (target.is_dir() and any(there.name != CHECKPOINTS for there in target.iterdir())):
        if not (target / "config.json").is_file():
            raise StepscanError(f"{path} is there already and is no model folder; choose another name")
        if not overwrite:
            raise StepscanError(f"{path} holds a model already; choose another name, or overwrite it (--overwrite)")
    if target == Path.cwd() or target.is_mount():
        raise StepscanError(
            f"{path} cannot be replaced by a new folder; name a folder in it, such as {Path(path) / 'model'}"
        )
    if not target.parent.is_dir():
        parent, name = Path(path).parent, target.name
        raise StepscanError(f"{parent} is not a folder, so {name} cannot be written into it; make it first")
    _temporary_beside(target).rmdir()


def write_whole(path: str | Path, write: Callable[[Path], None], *, overwrite: bool = False) -> None:
    """Let `write` fill an empty folder beside `path`, then rename it to `path`.

    Raises:
        StepscanError: something is there already (a model may be replaced with `overwrite`), or it cannot be written.
    """
    path = Path(path).resolve()
    check_free(path, overwrite=overwrite)
    temporary = _temporary_beside(path)
    try:
        write(temporary)
        for file in temporary.iterdir():
            file.chmod((temporary / "config.json").stat().st_mode)  # safetensors writes for the owner alone
            sync(file)
        _put(temporary, path)
        sync(path.parent)
    except (OSError, SafetensorError) as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_beside(path: Path) -> Path:
    """A new empty folder in the same place as `path`, so that renaming it is one step."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        temporary.mkdir()
    except OSError as error:
        raise _cannot_write(path, error) from error
    return temporary


def _put(new: Path, path: Path) -> None:
    """Rename `new` to `path`; what stood there is removed only once the new one stands."""
    old = _aside(path)
    if not path.exists():
        new.rename(path)
    else:
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            old.rename(path)
            raise
    shutil.rmtree(old, ignore_errors=True)


def tidy(path: str | Path) -> None:
    """Undo what a process that was killed while it wrote to `path` left: what stood there stands there again."""
    target = Path(path).resolve()
    if not target.exists() and _aside(target).exists():
        _aside(target).rename(target)
    for left_over in (_aside(target), *target.parent.glob(f".{glob.escape(target.name)}.*.tmp")):
        shutil.rmtree(left_over, ignore_errors=True)


def _aside(path: Path) -> Path:
    """Where what stands at `path` waits while it is replaced."""
    return path.with_name(f".{path.name}.old")


def _cannot_write(path: Path, error: Exception) -> StepscanError:
    return StepscanError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}")
