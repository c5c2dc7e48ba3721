"""Arrays on disk, made once and mapped into memory, so that data may be larger than memory.

A cache is a folder `FOLDER/<fingerprint>` of `NAME.bin` for each array, `facts.json` (all else) and, last,
`manifest.json`, with the SHA-256 of the others. It is written under a temporary name and renamed; a second process that
needs it waits for the first. What the arrays depend on is in the fingerprint: whatever differs has a cache of its own.

All files are hashed when a cache is opened: damaged ids would train a wrong model without a word. It costs less than
the hash of the data themselves, by which the cache is found.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np

from stepscan.errors import DataError, StepscanError
from stepscan.json_text import json_text
from stepscan.storage.atomic import sync
from stepscan.storage.snapshot import digest
from stepscan.untrusted_input import parse_json

VERSION = 3
_FACTS, _MANIFEST = "facts.json", "manifest.json"


class CachedArrays(NamedTuple):
    """What a cache holds.

    Attributes:
        folder: where it is.
        arrays: by name, `[N]` each, memory-mapped.
        facts: plain data.
    """

    folder: Path
    arrays: dict[str, np.ndarray]
    facts: dict[str, Any]


class ArrayWriter:
    """Writes arrays piece by piece; a context that closes their files.

    Args:
        folder: where the files are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.types: dict[str, str] = {}
        self._files: dict[str, BinaryIO] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def append(self, name: str, values: np.ndarray) -> None:
        """Append values `[N]` to an array, whose type is that of its first piece."""
        if name not in self._files:
            self.types[name] = values.dtype.name
            self._files[name] = self._stack.enter_context((self.folder / f"{name}.bin").open("wb"))
        self._files[name].write(np.ascontiguousarray(values, self.types[name]).data)


def cached_arrays(
    folder: str | Path, fingerprint: str, make: Callable[[ArrayWriter], Mapping[str, Any]]
) -> CachedArrays:
    """Open a cache, or make it.

    Args:
        folder: of all caches.
        fingerprint: of all that the arrays depend on.
        make: writes the arrays, and returns the facts: plain data.

    Raises:
        StepscanError: the cache cannot be written or read.
        DataError: it is damaged.
    """
    target = Path(folder) / fingerprint
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f".{target.name}.lock")):
            if not target.exists():
                _make(target, make)
    except OSError as error:
        raise StepscanError(f"the cache {target} cannot be written: {error.strerror or error}") from error
    return _open(target)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Wait for the lock of a cache, and hold it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make(target: Path, make: Callable[[ArrayWriter], Mapping[str, Any]]) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed: this one has the lock
    temporary.mkdir()
    try:
        with ArrayWriter(temporary) as writer:
            facts = make(writer)
        (temporary / _FACTS).write_text(json_text(facts), "utf-8")
        files = {path.name: digest(path) for path in sorted(temporary.iterdir())}
        manifest = {"version": VERSION, "fingerprint": target.name, "types": writer.types, "sha256": files}
        (temporary / _MANIFEST).write_text(json_text(manifest), "utf-8")
        for path in temporary.iterdir():
            sync(path)
        temporary.rename(target)
        sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _open(folder: Path) -> CachedArrays:
    try:
        manifest: Any = parse_json((folder / _MANIFEST).read_text("utf-8"), _MANIFEST)
        types = {str(name): np.dtype(type) for name, type in manifest["types"].items()}
        hashes = manifest["sha256"]
        for name in [_FACTS, *(f"{name}.bin" for name in types)]:
            if digest(folder / name) != hashes[name]:
                raise DataError(f"{name} is not the file that was written, by its SHA-256.", path=folder)
        facts: Any = json.loads((folder / _FACTS).read_text("utf-8"))
        return CachedArrays(folder, {name: _mapped(folder / f"{name}.bin", types[name]) for name in types}, facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, StepscanError) as error:
        raise DataError(f"the cache is damaged: {error}", path=folder, hint="Remove it; it is made anew.") from error


def _mapped(path: Path, dtype: np.dtype[Any]) -> np.ndarray:
    if not path.stat().st_size:
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)  # whose slices cost less
