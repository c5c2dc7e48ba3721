"""Model folders put in their place whole or not at all: written beside it under a temporary name, synced, renamed.

What is replaced or removed is what this project wrote, and nothing else: see `stepscan.runtime.ownership`.
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
from stepscan.runtime.configuration import CONFIG
from stepscan.runtime.lock import SAVING, beside, locked
from stepscan.runtime.ownership import CHECKPOINTS, foreign_in_model, is_model, remove_model
from stepscan.runtime.snapshot import aside

logger = logging.getLogger(__name__)
_PATIENCE = 10.0  # seconds to wait for another process that saves to the same place


def sync(path: Path) -> None:
    """Have what was written to a file or folder reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_free(path: str | Path, *, overwrite: bool) -> None:
    """Raise unless a model may be written to `path`: nothing there but checkpoints, or a model and `overwrite`."""
    target = _place(path)
    _check_content(target, path, overwrite)
    if target == Path.cwd() or target.is_mount():
        raise StepscanError(
            f"{path} cannot be replaced by a new folder; name a folder in it, such as {Path(path) / 'model'}"
        )
    _temporary_beside(target).rmdir()


@contextlib.contextmanager
def writing(path: str | Path, purpose: str, *, patience: float = 0.0) -> Iterator[None]:
    """Be the only one that writes to `path`, and put in order what a process that was killed left there.

    Raises:
        StepscanError: another process writes there, or nobody can.
    """
    target = _place(path)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(beside(target), Path(path), purpose, patience=patience))
            tidy(target)
        except OSError as error:
            raise _cannot_write(path, error) from error
        yield


def write_whole(path: str | Path, write: Callable[[Path], None], *, overwrite: bool = False) -> None:
    """Let `write` fill an empty folder beside `path`, then rename it to `path`.

    Raises:
        StepscanError: something is there already (a model may be replaced with `overwrite`), another process writes
            there, or it cannot be written.
    """
    with writing(path, SAVING, patience=_PATIENCE):
        check_free(path, overwrite=overwrite)
        target = _place(path)
        temporary = _temporary_beside(target)
        try:
            write(temporary)
            for file in temporary.iterdir():
                file.chmod((temporary / CONFIG).stat().st_mode)  # safetensors writes for the owner alone
                sync(file)
            _put(temporary, target, lambda there: _check_content(there, path, overwrite))
        except (OSError, SafetensorError) as error:
            raise _cannot_write(path, error) from error
        finally:
            remove_model(temporary)


def identity(path: str | Path) -> tuple[int, int, int] | None:
    """Which model is at `path`: equal before and after only if nobody replaced it; None if there is none."""
    try:
        found = (Path(path) / CONFIG).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def tidy(path: Path) -> None:
    """Undo what a process that was killed while it wrote to `path` left: what stood there stands there again."""
    old = aside(path)
    if not path.exists() and old.is_dir() and foreign_in_model(old) is None:
        old.rename(path)
    remove_model(old)
    for left_over in path.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp", left_over.name):
            remove_model(left_over)


def _place(path: str | Path) -> Path:
    """Where a new folder of that name comes to stand, links followed; an error in words if none can."""
    try:
        target = Path(path).resolve()
        if target.is_symlink():
            raise StepscanError(f"{path} cannot be written: it is a link that leads to itself")
        if not target.parent.is_dir():
            parent, name = Path(path).parent, target.name
            raise StepscanError(f"{parent} is not a folder, so {name} cannot be written into it; make it first")
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, a loop of links, a NUL in it
        raise _cannot_write(path, error) from None
    return target


def _check_content(there: Path, path: str | Path, overwrite: bool) -> None:
    """Raise unless a new model may replace what is `there`; the error names it `path`."""
    if not there.is_dir() and not os.path.lexists(there):
        return
    other = foreign_in_model(there)
    if not there.is_dir() or (not is_model(there) and any(one.name != CHECKPOINTS for one in there.iterdir())):
        raise StepscanError(f"{path} is there already and is no model folder; choose another name")
    if other is not None:
        raise StepscanError(
            f"{Path(path) / other.relative_to(there)} is not a file of a model, and would be deleted with {path}; "
            "move it away, or choose another name"
        )
    if is_model(there) and not overwrite:
        raise StepscanError(f"{path} holds a model already; choose another name, or overwrite it (--overwrite)")


def _temporary_beside(path: Path) -> Path:
    """A new empty folder in the same place as `path`, so that renaming it is one step."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        temporary.mkdir()
    except OSError as error:
        raise _cannot_write(path, error) from error
    return temporary


def _put(new: Path, path: Path, check: Callable[[Path], None]) -> None:
    """Rename `new` to `path`. What stood there is removed once the new one stands, if it still passes `check`."""
    old, is_there = aside(path), path.exists()
    if is_there and old.exists():
        raise StepscanError(f"{old} holds files that are not of a model; move it away first")
    if is_there:
        path.rename(old)
    try:
        if is_there:
            check(old)
        new.rename(path)
    except BaseException:
        if is_there:
            old.rename(path)
        raise
    try:
        sync(path.parent)
    except OSError as error:  # it stands there, whole
        logger.warning("%s is written, but may not outlast a power cut: %s", path, error.strerror)
    if is_there:
        remove_model(old)


def _cannot_write(path: str | Path, error: Exception) -> StepscanError:
    return StepscanError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}")
