"""Where bytes come from: files, which can be opened any number of times, and streams, which can be read once.

A stream is standard input (`-`), a pipe or a device, by whatever name. It is opened once: whoever only looks at its
first lines gives them back: its first MiB is kept until it has been read. What was read is over, as for any program;
a reading that would begin in the middle is an error.
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
_KEPT = 2**20  # bytes
_BUFFER = 2**16  # bytes
_DESCRIPTORS = re.compile(r"/proc/\d+(/task/\d+)?/fd|/dev/fd")
_LINKS = 40  # that may follow each other, as for the system itself


@contextmanager
def opened(path: str | Path, *, look: bool = False) -> Iterator[IO[bytes]]:
    """The bytes of a file or stream from its beginning, unpacked if they are gzip.

    Args:
        path: the file or stream.
        look: a stream is left as it was, for the next to read. It is as well if the block is left by an exception (or
            by a generator that is closed before its end).

    Raises:
        OSError: it cannot be opened.
        DataError: it is standard input and closed, or a stream whose beginning is gone.
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
    yield gzip.GzipFile(fileobj=reader) if packed else io.BufferedReader(reader, _BUFFER)  # type: ignore
    if not look:
        _STREAMS.pop(key, None)
        stream.close()


def is_stream(path: str | Path) -> bool:
    """Whether a path names what can be read only once; a file that is missing is not a stream."""
    return str(path) == STANDARD or descriptor_of(path) is not None or _is_special(path)


def is_live(path: str | Path) -> bool:
    """Whether reading may have to wait for more: a pipe, a terminal, a device."""
    number = _descriptor(path)
    try:
        return _is_special(path) if number is None else not stat.S_ISREG(os.fstat(number).st_mode)
    except OSError:  # not open, which reading says
        return False


def check_once(paths: list[str | Path]) -> None:
    """Raise if two paths name one stream, of which the second would get nothing.

    Raises:
        DataError: names it.
    """
    streams: set[Any] = set()
    for path in paths:
        if is_stream(path):
            if _identity(path) in streams:
                raise DataError("expected it once, because it can be read only once, but it is given twice.", path=path)
            streams.add(_identity(path))


def descriptor_of(path: str | Path) -> int | None:
    """The number of the open file that a path names, such as `/dev/stdin`, `/dev/fd/63` or a link to one."""
    place = os.path.abspath(path)
    for _ in range(_LINKS):
        folder, name = os.path.split(place)
        folder = os.path.realpath(folder)
        if name.isdecimal() and _DESCRIPTORS.fullmatch(folder):
            own = folder.startswith((f"/proc/{os.getpid()}/", "/dev/"))
            return int(name) if own else None
        place = os.path.join(folder, name)
        if not os.path.islink(place):
            return None
        place = os.path.join(folder, os.readlink(place))
    return None


def as_they_come(items: Iterator[Item], most: int) -> Iterator[list[Item]]:
    """Portions of what has come by now: at least one item, as soon as it is there, and at most `most`."""
    arrived: Queue[tuple[list[Item], BaseException | None]] = Queue(most)

    def collect() -> None:
        try:
            for item in items:
                arrived.put(([item], None))
            arrived.put(([], None))
        except BaseException as error:  # raised where the items are wanted
            arrived.put(([], error))

    Thread(target=collect, daemon=True, name="stepscan-input").start()
    while True:
        portion, error = arrived.get()
        last = not portion
        while not last and len(portion) < most:
            try:
                more, error = arrived.get_nowait()
            except Empty:
                break
            portion += more
            last = not more
        if portion:
            yield portion
        if error:
            raise error
        if last:
            return


class _Stream:
    """What can be read once, with its beginning for as long as that may be wanted again."""

    def __init__(self, file: Any, path: str | Path) -> None:
        self._file, self._path = file, path
        self._window = bytearray()  # what was read from `_first` on
        self._first = 0
        self._ended = False

    def read(self, place: int, size: int) -> bytes:
        """At most `size` bytes from `place` on, as soon as there are any; of the first two both, to know gzip by."""
        if place < self._first:
            reason = "expected to read it once, but it is read again, and its beginning is gone."
            raise DataError(reason, path=self._path, hint="Save it as a file first.")
        while self._first + len(self._window) < max(place + 1, 2) and not self._ended:
            found = self._fetch()
            self._window += found
            self._ended = not found
        start = place - self._first
        found = bytes(self._window[start : start + size])
        if place + len(found) > _KEPT:
            del self._window[: start + len(found)]
            self._first = place + len(found)
        return found

    def _fetch(self) -> bytes:
        while (found := self._file.read(_BUFFER)) is None:  # whoever made it said that reading is not to wait
            select.select([self._file], [], [])
        return bytes(found)

    def close(self) -> None:
        self._file.close()


class _Reader(io.RawIOBase):
    """One reading of a stream, from its beginning."""

    def __init__(self, stream: _Stream) -> None:
        self._stream, self._place = stream, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self._stream.read(self._place, len(buffer))
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)

    def read(self, size: int = -1) -> bytes:
        """What is there, as raw files do; but gzip reads the few bytes of its headers in one piece."""
        found = super().read(size) or b""
        while 0 < len(found) < size < 16 and (more := super().read(size - len(found))):
            found += more
        return found


_STREAMS: dict[Any, _Stream] = {}  # that were opened and not read to their end, by identity


def _identity(path: str | Path) -> Any:
    """The same for all names of a stream."""
    number = _descriptor(path)
    if number is None and str(path) == STANDARD:
        return _standard_input()
    found = os.stat(path) if number is None else os.fstat(number)
    return found.st_dev, found.st_ino


def _raw(path: str | Path) -> Any:
    number = _descriptor(path)
    if number is not None:
        return io.FileIO(number, closefd=False)
    return io.BytesIO(_standard_input().read()) if str(path) == STANDARD else open(path, "rb", buffering=0)


def _descriptor(path: str | Path) -> int | None:
    """The number of the open file that a path names, standard input too, unless the program put a buffer there."""
    if str(path) != STANDARD:
        return descriptor_of(path)
    try:
        return int(_standard_input().fileno())
    except io.UnsupportedOperation:
        return None


def _standard_input() -> Any:
    if sys.stdin is None:
        raise DataError("expected text, but standard input is closed.", path=STANDARD)
    return sys.stdin.buffer


def _is_special(path: str | Path) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # missing; or a name that no file can have, which opening it says
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
