"""Atomic writes of model folders: written under a temporary name next to the target, synced, then renamed.

Only what this project wrote is replaced or removed: see `stepscan.storage.ownership`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from safetensors import SafetensorError

from stepscan.errors import StepscanError
from stepscan.storage.configuration import CONFIG
from stepscan.storage.lock import SAVING, lock_file, locked
from stepscan.storage.ownership import CHECKPOINTS, foreign_in_model, is_model, remove_model
from stepscan.storage.snapshot import backup_path

logger = logging.getLogger(__name__)
_PATIENCE = 10.0  # seconds to wait for another process that saves to the same path


def sync(path: Path) -> None:
    """Flush a file or folder to disk (`fsync`)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: str | Path, *, overwrite: bool) -> None:
    """Check that a model may be written to `path`: nothing there but checkpoints, or a model and `overwrite`.

    Raises:
        StepscanError: something else is there, or a folder cannot be made there.
    """
    target = _resolve(path)
    _check_content(target, path, overwrite)
    if target == Path.cwd() or target.is_mount():
        raise StepscanError(
            f"{path}: expected a folder that can be replaced, got the current folder or a mount point; "
            f"name a folder in it, such as {Path(path) / 'model'}"
        )
    _make_temporary(target).rmdir()


@contextlib.contextmanager
def write_lock(path: str | Path, purpose: str, *, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock for writing to `path`, after recovery from a writer that was killed.

    Raises:
        StepscanError: another process writes to it, or it cannot be written.
    """
    target = _resolve(path)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(lock_file(target), Path(path), purpose, patience=patience))
            recover(target)
        except OSError as error:
            raise _cannot_write(path, error) from error
        yield


def atomic_write(path: str | Path, write: Callable[[Path], None], *, overwrite: bool = False) -> None:
    """Let `write` fill an empty temporary folder, then rename it to `path`.

    Raises:
        StepscanError: `path` exists (a model may be replaced with `overwrite`), another process writes to it, or it
            cannot be written.
    """
    with write_lock(path, SAVING, patience=_PATIENCE):
        check_writable(path, overwrite=overwrite)
        target = _resolve(path)
        temporary = _make_temporary(target)
        try:
            write(temporary)
            for file in temporary.iterdir():
                file.chmod((temporary / CONFIG).stat().st_mode)  # safetensors writes files that only the owner can read
                sync(file)
            _replace(temporary, target, lambda existing: _check_content(existing, path, overwrite))
        except (OSError, SafetensorError) as error:
            raise _cannot_write(path, error) from error
        finally:
            remove_model(temporary)


def identity(path: str | Path) -> tuple[int, int, int] | None:
    """Device, inode and modification time of the model at `path`, which change when it is replaced; None if there is
    none."""
    try:
        status = (Path(path) / CONFIG).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def recover(path: Path) -> None:
    """Restore what was at `path` before a writer was killed, and remove its temporary folders."""
    previous = backup_path(path)
    if not path.exists() and previous.is_dir() and foreign_in_model(previous) is None:
        previous.rename(path)
    remove_model(previous)
    for leftover in path.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp", leftover.name):
            remove_model(leftover)


def _resolve(path: str | Path) -> Path:
    """The absolute path with links resolved; a `StepscanError` if no folder can be made there."""
    try:
        target = Path(path).resolve()
        if target.is_symlink():
            raise StepscanError(f"{path} cannot be written: it is a link to itself")
        if not target.parent.is_dir():
            parent, name = Path(path).parent, target.name
            raise StepscanError(f"{parent}: expected a folder in which to write {name}, got none; create it first")
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, a loop of links, a NUL in it
        raise _cannot_write(path, error) from None
    return target


def _check_content(existing: Path, path: str | Path, overwrite: bool) -> None:
    """Raise unless a new model may replace `existing`; messages name it `path`."""
    if not existing.is_dir() and not os.path.lexists(existing):
        return
    other = foreign_in_model(existing)
    if not existing.is_dir() or (
        not is_model(existing) and any(item.name != CHECKPOINTS for item in existing.iterdir())
    ):
        raise StepscanError(f"{path}: expected a new name or a model folder, got something else; choose another name")
    if other is not None:
        raise StepscanError(
            f"{Path(path) / other.relative_to(existing)} is not a file of a model, and would be deleted with {path}; "
            "move it, or choose another name"
        )
    if is_model(existing) and not overwrite:
        raise StepscanError(f"{path} is already a model folder; choose another name, or overwrite it (--overwrite)")


def _make_temporary(path: Path) -> Path:
    """Make an empty folder next to `path`, on the same file system, so that the rename is atomic."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        temporary.mkdir()
    except OSError as error:
        raise _cannot_write(path, error) from error
    return temporary


def _replace(new: Path, path: Path, check: Callable[[Path], None]) -> None:
    """Rename `new` to `path`; then remove what was there, provided that it still passes `check`."""
    previous, exists = backup_path(path), path.exists()
    if exists and previous.exists():
        raise StepscanError(f"{previous}: expected files of a model, got others; move the folder first")
    if exists:
        path.rename(previous)
    try:
        if exists:
            check(previous)
        new.rename(path)
    except BaseException:
        if exists:
            previous.rename(path)
        raise
    try:
        sync(path.parent)
    except OSError as error:  # the rename succeeded
        logger.warning("%s is written, but may be lost if power fails now: %s", path, error.strerror)
    if exists:
        remove_model(previous)


def _cannot_write(path: str | Path, error: Exception) -> StepscanError:
    return StepscanError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}")
