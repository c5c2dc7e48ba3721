"""The bytes of files, which can be read any number of times, and of streams, which can be read once.

A stream is standard input (`-`), a pipe or a device, under any of its names. It is opened once. Its first MiB is kept
until it has been read to its end, so that a reader can peek at the first lines and the next one still gets them. To
read a stream a second time after that is an error.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any, TypeVar

from stepscan.errors import STANDARD, DataError

Item = TypeVar("Item")
_GZIP_MAGIC = b"\x1f\x8b"
_KEPT_BYTES = 2**20
_BUFFER_BYTES = 2**16
_DESCRIPTORS = re.compile(r"/proc/\d+(/task/\d+)?/fd|/dev/fd")
_MAX_LINKS = 40  # symbolic links in a row, as Linux allows


@contextmanager
def open_bytes(path: str | Path, *, peek: bool = False) -> Iterator[IO[bytes]]:
    """Open a file or stream at its beginning, decompressed if it is gzip.

    Args:
        path: the file or stream.
        peek: keep the stream open, so that the next reader starts at its beginning. This also happens if the `with`
            block ends by an exception (or belongs to a generator that is closed early).

    Raises:
        OSError: it cannot be opened.
        DataError: standard input is closed, or the beginning of a stream is no longer kept.
    """
    if not is_stream(path):
        with open(path, "rb") as file:
            packed = file.peek(2)[:2] == _GZIP_MAGIC
            yield gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[misc]
        return
    key = _identity(path)
    stream = _STREAMS.get(key) or _STREAMS.setdefault(key, _Stream(_raw(path), path))
    reader = _Reader(stream)
    packed = stream.read(0, 2) == _GZIP_MAGIC
    yield gzip.GzipFile(fileobj=reader) if packed else io.BufferedReader(reader, _BUFFER_BYTES)  # type: ignore
    if not peek:
        _STREAMS.pop(key, None)
        stream.close()


def is_stream(path: str | Path) -> bool:
    """Whether a path can be read only once; False for a missing file."""
    return str(path) == STANDARD or file_descriptor(path) is not None or _is_special(path)


def may_block(path: str | Path) -> bool:
    """Whether reading may have to wait for input: from a pipe, a terminal or a device."""
    number = _descriptor(path)
    try:
        return _is_special(path) if number is None else not stat.S_ISREG(os.fstat(number).st_mode)
    except OSError:  # not open: reading it is an error of its own
        return False


def check_distinct_streams(paths: list[str | Path]) -> None:
    """Check that no two paths name the same stream, which can be read only once.

    Raises:
        DataError: two do.
    """
    streams: set[Any] = set()
    for path in paths:
        if is_stream(path):
            if _identity(path) in streams:
                raise DataError("expected it once, got it twice: it can be read only once.", path=path)
            streams.add(_identity(path))


def file_descriptor(path: str | Path) -> int | None:
    """The descriptor of the open file that a path names (`/dev/stdin`, `/dev/fd/63`, or a link to one), or None."""
    target = os.path.abspath(path)
    for _ in range(_MAX_LINKS):
        folder, name = os.path.split(target)
        folder = os.path.realpath(folder)
        if name.isdecimal() and _DESCRIPTORS.fullmatch(folder):
            is_this_process = folder.startswith((f"/proc/{os.getpid()}/", "/dev/"))
            return int(name) if is_this_process else None
        target = os.path.join(folder, name)
        if not os.path.islink(target):
            return None
        target = os.path.join(folder, os.readlink(target))
    return None


def available_chunks(items: Iterator[Item], most: int) -> Iterator[list[Item]]:
    """Yield items in lists as they arrive: at least one per list, as soon as it is available, and at most `most`.

    A thread reads `items`; an exception in it is raised here, after the items before it.
    """
    arrived: Queue[tuple[list[Item], BaseException | None]] = Queue(most)

    def collect() -> None:
        try:
            for item in items:
                arrived.put(([item], None))
            arrived.put(([], None))
        except BaseException as error:  # raised in the consuming thread
            arrived.put(([], error))

    Thread(target=collect, daemon=True, name="stepscan-input").start()
    while True:
        chunk, error = arrived.get()
        last = not chunk
        while not last and len(chunk) < most:
            try:
                more, error = arrived.get_nowait()
            except Empty:
                break
            chunk += more
            last = not more
        if chunk:
            yield chunk
        if error:
            raise error
        if last:
            return


class _Stream:
    """An open stream and the bytes of its beginning, kept so that they can be read again."""

    def __init__(self, file: Any, path: str | Path) -> None:
        self._file, self._path = file, path
        self._kept = bytearray()  # the bytes read so far, from position `_first` on
        self._first = 0
        self._ended = False

    def read(self, position: int, size: int) -> bytes:
        """At most `size` bytes from `position` on, as soon as one is available (at position 0 two: gzip's mark).

        Raises:
            DataError: they were read before, and are not kept.
        """
        if position < self._first:
            reason = "expected to read it once, got a second reader: its beginning is gone."
            raise DataError(reason, path=self._path, hint="Save it as a file first.")
        while self._first + len(self._kept) < max(position + 1, 2) and not self._ended:
            chunk = self._fetch()
            self._kept += chunk
            self._ended = not chunk
        start = position - self._first
        data = bytes(self._kept[start : start + size])
        if position + len(data) > _KEPT_BYTES:
            del self._kept[: start + len(data)]
            self._first = position + len(data)
        return data

    def _fetch(self) -> bytes:
        while (chunk := self._file.read(_BUFFER_BYTES)) is None:  # the descriptor is non-blocking
            select.select([self._file], [], [])
        return bytes(chunk)

    def close(self) -> None:
        self._file.close()


class _Reader(io.RawIOBase):
    """Reads a stream from its beginning."""

    def __init__(self, stream: _Stream) -> None:
        self._stream, self._position = stream, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """The bytes available, as raw files do; but all of fewer than 16, as gzip needs for its headers."""
        data = super().read(size) or b""
        while 0 < len(data) < size < 16 and (more := super().read(size - len(data))):
            data += more
        return data


_STREAMS: dict[Any, _Stream] = {}  # opened and not yet read to their end, by identity


def _identity(path: str | Path) -> Any:
    """A key that is the same for all names of a stream."""
    number = _descriptor(path)
    if number is None and str(path) == STANDARD:
        return _standard_input()
    status = os.stat(path) if number is None else os.fstat(number)
    return status.st_dev, status.st_ino


def _raw(path: str | Path) -> Any:
    number = _descriptor(path)
    if number is not None:
        return io.FileIO(number, closefd=False)
    return io.BytesIO(_standard_input().read()) if str(path) == STANDARD else open(path, "rb", buffering=0)


def _descriptor(path: str | Path) -> int | None:
    """As `file_descriptor`, and that of standard input for `-`, unless a program replaced it by a buffer in memory."""
    if str(path) != STANDARD:
        return file_descriptor(path)
    try:
        return int(_standard_input().fileno())
    except io.UnsupportedOperation:
        return None


def _standard_input() -> Any:
    if sys.stdin is None:
        raise DataError("expected text, got a closed standard input.", path=STANDARD)
    return sys.stdin.buffer


def _is_special(path: str | Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # missing, or not a valid name: opening it is an error of its own
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
