"""A consistent snapshot of a model folder: each file read once, into private memory.

The folder is opened once, and its files relative to it: a folder that is replaced meanwhile is read either as it was
before or as it is after. `config.json` records the SHA-256 of the other files; `check_hashes` compares them.
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
from stepscan.untrusted_input import parse_json, sniff

Result = TypeVar("Result")

_TRIES = 50  # attempts to read a folder that is replaced repeatedly
_PAUSE = 0.01  # seconds; between the two renames of a replacement there is no folder


class Snapshot:
    """The files of one folder.

    Args:
        path: the folder, for messages.
        descriptor: of the open folder; None if all content is in `files`.
        files: content by name, of files that were read before.
    """

    def __init__(self, path: Path, descriptor: int | None, files: Mapping[str, Any] | None = None) -> None:
        self.path, self._descriptor = path, descriptor
        self.files: dict[str, Any] = dict(files or {})
        self.faults: dict[str, str] = {}  # file → why it could not be read; files that are not needed

    def __reduce__(self) -> tuple[type[Snapshot], tuple[Path, None, dict[str, bytes]]]:
        return Snapshot, (self.path, None, {name: bytes(content) for name, content in self.files.items()})

    def has(self, name: str) -> bool:
        """Whether the folder has a regular file of that name."""
        if self._descriptor is None:
            return name in self.files
        try:
            return stat.S_ISREG(os.stat(name, dir_fd=self._descriptor).st_mode)
        except OSError:
            return False

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """Open a regular file; yields it and its size in bytes.

        Raises:
            ModelFormatError: the file is missing, a folder or a device, cannot be read, or changed while it was open.
        """
        if name in self.files:
            yield io.BytesIO(self.files[name]), len(self.files[name])
            return
        if self._descriptor is None:
            raise ModelFormatError(self.faults.get(name, f"{self._incomplete}: {name} is missing"))
        path = self.path / name
        try:
            self._check_regular(name, os.stat(name, dir_fd=self._descriptor).st_mode)
            with open(name, "rb", opener=self._opener) as file:
                before = os.fstat(file.fileno())
                yield file, before.st_size
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            raise ModelFormatError(f"{self._incomplete}: {name} {self._absence(name)}") from None
        except OSError as error:
            raise ModelFormatError(f"{path} cannot be read: {error.strerror}") from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ModelFormatError(f"{path} changed while it was read; read it again")

    def content(self, name: str, file: BinaryIO, size: int) -> Any:
        """All bytes of a file that `open` opened, cached.

        Raises:
            ModelFormatError: the file changed while it was read.
        """
        if name not in self.files:
            content = np.empty(size, np.uint8)
            file.seek(0)
            if file.readinto(content.data) != size:  # type: ignore[attr-defined]
                raise ModelFormatError(f"{self.path / name} changed while it was read; read it again")
            content.flags.writeable = False
            self.files[name] = content.data
        return self.files[name]

    def text(self, name: str, largest: int) -> str:
        """The content of a UTF-8 file of at most `largest` bytes.

        Raises:
            ModelFormatError: the file is missing, larger, or not UTF-8.
        """
        path = self.path / name
        with self.open(name) as (file, size):
            if size > largest:
                raise ModelFormatError(f"{path}: expected at most {largest:,} bytes, got {size:,}")
            content = self.content(name, file, size)
        try:
            return str(content, "utf-8")
        except UnicodeDecodeError as error:
            raise ModelFormatError(f"{path} cannot be read: {sniff(bytes(content[:64])) or error}") from None

    def json(self, name: str, largest: int) -> Any:
        """The parsed content of a JSON file of at most `largest` bytes.

        Raises:
            ModelFormatError: as `text`, or the content is not JSON.
        """
        return parse_json(self.text(name, largest), self.path / name)

    def check_hashes(self, hashes: Mapping[str, str], names: Collection[str]) -> None:
        """Check that the files that were read are those that were written together with `config.json`.

        Args:
            hashes: SHA-256 by name, as `config.json` records them; folders of an older version record none.
            names: of the files.

        Raises:
            ModelFormatError: a file has another hash.
        """
        others = [
            name for name in names if name in hashes and hashes[name] != hashlib.sha256(self.files[name]).hexdigest()
        ]
        if others:
            named = " and ".join(sorted(others))
            raise ModelFormatError(
                f"{self._incomplete}: expected {named} with the SHA-256 that config.json records, got another; the "
                "files are of two models, or changed after they were written. Copy the whole folder again; "
                f"if you changed it on purpose, remove {named} from 'files' in config.json"
            )

    @property
    def is_current(self) -> bool:
        """Whether the folder is still the one at its path."""
        try:
            return self._descriptor is None or os.path.samestat(self.path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False

    def close(self) -> None:
        """Close the folder: from here on, only the files that were read are available."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    @property
    def _incomplete(self) -> str:
        return f"{self.path} is not a complete model folder"

    def _opener(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NONBLOCK, dir_fd=self._descriptor)  # a named pipe would wait for its writer

    def _check_regular(self, name: str, mode: int) -> None:
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a device"
            raise ModelFormatError(f"{self._incomplete}: {name} is {what}, not a file")

    def _absence(self, name: str) -> str:
        try:
            return f"is a link to {os.readlink(name, dir_fd=self._descriptor)}, which does not exist"
        except OSError:
            return "is missing"


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_at_once(path: Path, read: Callable[[Snapshot], Result]) -> Result:
    """Call `read` with a snapshot of a folder, again if the folder is replaced meanwhile.

    Raises:
        ModelFormatError: the folder does not exist, or `read` raised the error on a folder that was not replaced.
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
        raise ModelFormatError(f"{path} was replaced repeatedly while it was read; read it again")
    raise ModelFormatError(
        f"{path} does not exist; a process was stopped while it replaced the model that is now at {backup_path(path)}: "
        f"rename that to {path.name}"
    )


def _open(path: Path) -> Snapshot | None:
    """A snapshot of which nothing is read yet; None while the folder is being replaced."""
    try:
        return Snapshot(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except (FileNotFoundError, NotADirectoryError):
        if backup_path(path).exists():
            return None
        what = "is a file, not a model folder" if path.exists() else "does not exist"
        raise ModelFormatError(
            f"{path} {what}; a model folder is what `stepscan train … --out {path.name}` writes"
        ) from None
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise ModelFormatError(f"{path} cannot be read: {error}") from None


def backup_path(path: Path) -> Path:
    """Where the folder at `path` is kept while it is replaced."""
    return path.parent / f".{path.name}.old"
