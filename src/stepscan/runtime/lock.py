"""One writer at a time: a lock file that says who writes, on which machine, and since when.

The lock is the kernel's (`flock`), so that one whose process died holds nobody up: it is taken over. What the file says
is for people; and for a file system that several machines share, where the lock may not reach the others.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stepscan.errors import StepscanError

TRAINING, SAVING = "training", "saving"
_held: dict[Path, tuple[int, int]] = {}  # lock files of this process → process and thread
_PAUSE = 0.02  # seconds


def beside(path: Path) -> Path:
    """The lock file of a model folder, which may not be there yet."""
    return path.parent / f".{path.name}.lock"


@contextlib.contextmanager
def locked(file: Path, path: Path, purpose: str, *, patience: float = 0.0) -> Iterator[None]:
    """Keep others from writing to `path`; a thread may do so again within itself.

    Args:
        file: the lock file.
        path: what is locked, for messages.
        purpose: `TRAINING` or `SAVING`.
        patience: seconds to wait for another that saves; nobody waits for one that trains.

    Raises:
        StepscanError: another process, or thread, writes to it: says which.
        OSError: the lock file cannot be written.
    """
    me = (os.getpid(), threading.get_ident())
    if _held.get(file) == me:
        yield
        return
    descriptor = _acquired(file, path, time.monotonic() + patience)
    try:
        _held[file] = me
        os.pwrite(descriptor, json.dumps(_owner(purpose)).encode(), 0)
        yield
    finally:
        del _held[file]
        file.unlink(missing_ok=True)
        os.close(descriptor)


def is_held(file: Path) -> bool:
    """Whether this thread holds the lock."""
    return _held.get(file) == (os.getpid(), threading.get_ident())


def _acquired(file: Path, path: Path, end: float) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            free, owner = _is_free(descriptor), _read(descriptor)
            if free and _is_elsewhere(owner):
                raise StepscanError(
                    f"{path} is being written by {_said(owner)}, on another machine ({owner['host']}); "
                    f"if that has ended, remove {file}"
                )
            if free and _is_at(file, descriptor):
                os.ftruncate(descriptor, 0)
                kept, descriptor = descriptor, -1
                return kept
            if not free and (owner.get("purpose") == TRAINING or time.monotonic() > end):
                raise StepscanError(
                    f"{path} is being written by {_said(owner)}; wait until that has ended, or choose another name"
                )
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        time.sleep(_PAUSE)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: Path, descriptor: int) -> bool:
    """Whether the file is still there: who held the lock before may have removed it."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


# The owner ------------------------------------------------------------------------------------------------------------


def _owner(purpose: str) -> dict[str, Any]:
    return {"purpose": purpose, "pid": os.getpid(), **_machine(), "since": time.time()}


def _machine() -> dict[str, str]:
    """Its name, and what tells one start of it from another: containers on it have names of their own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        boot = ""
    return {"host": socket.gethostname(), "boot": boot}


def _read(descriptor: int) -> dict[str, Any]:
    """Who wrote the lock file; empty if nobody did, or something else is in it."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        return found if {"purpose", "pid", "host", "boot", "since"} <= set(found) else {}
    except (ValueError, TypeError):
        return {}


def _is_elsewhere(owner: dict[str, Any]) -> bool:
    return bool(owner) and all(owner[name] != value for name, value in _machine().items())


def _said(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    since = datetime.fromtimestamp(owner["since"], UTC)
    age = max(0, round((datetime.now(UTC) - since).total_seconds()))
    return f"process {owner['pid']} ({owner['purpose']} since {since:%Y-%m-%d %H:%M:%S} UTC, for {age} s)"
