"""One writer at a time: a lock file with the writer's process, machine and start time.

The lock is the kernel's (`flock`), so that it ends with its process. The file's content is for messages, and for file
systems that several machines share, where the lock may not reach the others.
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


def lock_file(path: Path) -> Path:
    """The path of the lock file of a model folder, which may not exist yet."""
    return path.parent / f".{path.name}.lock"


@contextlib.contextmanager
def locked(file: Path, path: Path, purpose: str, *, patience: float = 0.0) -> Iterator[None]:
    """Hold the exclusive lock for writing to `path`; it is reentrant within a thread.

    Args:
        file: the lock file.
        path: the path that is locked, for messages.
        purpose: `TRAINING` or `SAVING`.
        patience: seconds to wait for a holder that saves; a holder that trains is not waited for.

    Raises:
        StepscanError: another process or thread holds the lock; the message names it.
        OSError: the lock file cannot be written.
    """
    owner_key = (os.getpid(), threading.get_ident())
    if _held.get(file) == owner_key:
        yield
        return
    descriptor = _acquire(file, path, time.monotonic() + patience)
    try:
        _held[file] = owner_key
        os.pwrite(descriptor, json.dumps(_owner(purpose)).encode(), 0)
        yield
    finally:
        del _held[file]
        file.unlink(missing_ok=True)
        os.close(descriptor)


def is_held(file: Path) -> bool:
    """Whether this thread holds the lock."""
    return _held.get(file) == (os.getpid(), threading.get_ident())


def _acquire(file: Path, path: Path, deadline: float) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            free, owner = _is_free(descriptor), _read(descriptor)
            if free and _is_elsewhere(owner):
                raise StepscanError(
                    f"{path} is being written by {_describe_owner(owner)}, on another machine ({owner['host']}); "
                    f"if that has ended, remove {file}"
                )
            if free and _is_same_file(file, descriptor):
                os.ftruncate(descriptor, 0)
                acquired, descriptor = descriptor, -1
                return acquired
            if not free and (owner.get("purpose") == TRAINING or time.monotonic() > deadline):
                raise StepscanError(
                    f"{path} is being written by {_describe_owner(owner)}; wait until that has ended, or choose "
                    "another name"
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


def _is_same_file(file: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at this path: the previous holder may have removed it."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


# The owner ------------------------------------------------------------------------------------------------------------


def _owner(purpose: str) -> dict[str, Any]:
    return {"purpose": purpose, "pid": os.getpid(), **_machine_id(), "since": time.time()}


def _machine_id() -> dict[str, str]:
    """The host's name and boot id: containers on one host have names of their own, but the same boot id."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        boot = ""
    return {"host": socket.gethostname(), "boot": boot}


def _read(descriptor: int) -> dict[str, Any]:
    """The owner that the lock file records; empty if it records none."""
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return owner if {"purpose", "pid", "host", "boot", "since"} <= set(owner) else {}
    except (ValueError, TypeError):
        return {}


def _is_elsewhere(owner: dict[str, Any]) -> bool:
    return bool(owner) and all(owner[name] != value for name, value in _machine_id().items())


def _describe_owner(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    since = datetime.fromtimestamp(owner["since"], UTC)
    age = max(0, round((datetime.now(UTC) - since).total_seconds()))
    return f"process {owner['pid']} ({owner['purpose']} since {since:%Y-%m-%d %H:%M:%S} UTC, for {age} s)"
