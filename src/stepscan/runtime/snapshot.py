"""The files of a model folder as they were at one moment, each read once, into memory that nobody else can change.

The folder is opened once, and its files through it: a folder that is replaced meanwhile is read as it was before or as
it is after, never as a mixture. `config.json` records the SHA-256 of the other files; `check_whole` holds what was read
against that.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np

from stepscan.errors import ModelFormatError
from stepscan.runtime.untrusted import disguise, parsed

Result = TypeVar("Result")

_TRIES = 50  # readings of a folder that is replaced again and again
_PAUSE = 0.01  # seconds; between the two renames of a replacement there is no folder


class Snapshot:
    """The files of one folder.

    Args:
        path: the folder, for messages.
        descriptor: of the folder, open for as long as files are read from it; None if all are in `files`.
        files: content by name, of files that were read before.
    """

    def __init__(self, path: Path, descriptor: int | None, files: Mapping[str, Any] | None = None) -> None:
        self.path, self._descriptor = path, descriptor
        self.files: dict[str, Any] = dict(files or {})
        self.faults: dict[str, str] = {}  # of files that could not be read, and need not be

    def __reduce__(self) -> tuple[type[Snapshot], tuple[Path, None, dict[str, bytes]]]:
        return Snapshot, (self.path, None, {name: bytes(content) for name, content in self.files.items()})

    def has(self, name: str) -> bool:
        """Whether it has a regular file of that name."""
        if self._descriptor is None:
            return name in self.files
        try:
            return stat.S_ISREG(os.stat(name, dir_fd=self._descriptor).st_mode)
        except OSError:
            return False

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """A regular file, and its size in bytes.

        Raises:
            ModelFormatError: it is missing, a folder or a device, cannot be read, or changed while it was open.
        """
        if name in self.files:
            yield io.BytesIO(self.files[name]), len(self.files[name])
            return
        if self._descriptor is None:
            raise ModelFormatError(self.faults.get(name, f"{self._not_whole}: {name} is missing"))
        path = self.path / name
        try:
            self._check_regular(name, os.stat(name, dir_fd=self._descriptor).st_mode)
            with open(name, "rb", opener=self._opener) as file:
                before = os.fstat(file.fileno())
                yield file, before.st_size
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            raise ModelFormatError(f"{self._not_whole}: {name} {self._absence(name)}") from None
        except OSError as error:
            raise ModelFormatError(f"{path} cannot be read: {error.strerror}") from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ModelFormatError(f"{path} changed while it was read; read it again")

    def content(self, name: str, file: BinaryIO, size: int) -> Any:
        """All bytes of a file that `open` opened; they are kept."""
        if name not in self.files:
            content = np.empty(size, np.uint8)
            file.seek(0)
            if file.readinto(content.data) != size:  # type: ignore[attr-defined]
                raise ModelFormatError(f"{self.path / name} changed while it was read; read it again")
            content.flags.writeable = False
            self.files[name] = content.data
        return self.files[name]

    def text(self, name: str, largest: int) -> str:
        """The content of a UTF-8 file of at most `largest` bytes; otherwise a `ModelFormatError`."""
        path = self.path / name
        with self.open(name) as (file, size):
            if size > largest:
                raise ModelFormatError(f"{path} has {size:,} bytes; {name} of a model has at most {largest:,}")
            content = self.content(name, file, size)
        try:
            return str(content, "utf-8")
        except UnicodeDecodeError as error:
            raise ModelFormatError(f"{path} cannot be read: {disguise(bytes(content[:64])) or error}") from None

    def json(self, name: str, largest: int) -> Any:
        """What a JSON file of at most `largest` bytes holds; otherwise a `ModelFormatError`."""
        return parsed(self.text(name, largest), self.path / name)

    def check_whole(self, hashes: Mapping[str, str], names: Collection[str]) -> None:
        """Raise if a file that was read is not the one that was written together with `config.json`.

        Args:
            hashes: SHA-256 by name, as `config.json` records it; those of an older version record none.
            names: of the files.
        """
        others = [
            name for name in names if name in hashes and hashes[name] != hashlib.sha256(self.files[name]).hexdigest()
        ]
        if others:
            named = " and ".join(sorted(others))
            raise ModelFormatError(
                f"{self._not_whole}: expected {named} with the SHA-256 that config.json records, got another; the "
                "files are of two models, or changed after they were written. Copy the whole folder again; "
                f"if you changed it on purpose, remove {named} from 'files' in config.json"
            )

    @property
    def is_current(self) -> bool:
        """Whether the folder still stands at its path."""
        try:
            return self._descriptor is None or os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """From here on there are the files that were read, and no others."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    @property
    def _not_whole(self) -> str:
        return f"{self.path} is no whole model folder"

    def _opener(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK, dir_fd=self._descriptor)  # a named pipe would wait for its writer

    def _check_regular(self, name: str, mode: int) -> None:
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a device"
            raise ModelFormatError(f"{self._not_whole}: {name} is {what}, not a file")

    def _absence(self, name: str) -> str:
        try:
            return f"leads to {os.readlink(name, dir_fd=self._descriptor)}, which is not there"
        except OSError:
            return "is missing"


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_at_once(path: Path, read: Callable[[Snapshot], Result]) -> Result:
    """What `read` makes of a snapshot of a folder; if the folder is replaced while it reads, of the new one.

    Raises:
        ModelFormatError: there is no folder; or `read` raised it, of a folder that was not replaced meanwhile.
    """
    for _ in range(_TRIES):
        if snapshot := _open(path):
            try:
                return read(snapshot)
            except ModelFormatError:
                if snapshot.is_current:
                    raise
            finally:
                snapshot.close()
        time.sleep(_PAUSE)
    if path.exists():
        raise ModelFormatError(f"{path} was replaced again and again while it was read; read it again")
    raise ModelFormatError(
        f"{path} does not exist; a process was stopped while it replaced the model that is now at {aside(path)}: "
        f"rename that to {path.name}"
    )


def _open(path: Path) -> Snapshot | None:
    """A snapshot of which nothing is read yet; None if the folder is just being replaced."""
    try:
        return Snapshot(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except (FileNotFoundError, NotADirectoryError):
        if aside(path).exists():
            return None
        what = "is a file, not a model folder" if path.exists() else "does not exist"
        raise ModelFormatError(
            f"{path} {what}; a model folder is what `stepscan train … --out {path.name}` writes"
        ) from None
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise ModelFormatError(f"{path} cannot be read: {error}") from None


def aside(path: Path) -> Path:
    """Where what stands at `path` waits while it is replaced."""
    return path.parent / f".{path.name}.old"
