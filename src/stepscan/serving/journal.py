"""Sessions on disk: a file of a model to which states are appended, and flushed before what they answer is sent.

The file is a sequence of entries (length, checksum, kind, id, content); the last one of a session counts. A process
that is killed leaves at most an incomplete entry at the end, of an answer that was not sent. What could not be written
is written with what follows, or after a while.
"""

from __future__ import annotations

import json
import os
import queue
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from stepscan.errors import StepscanError
from stepscan.json_text import json_text
from stepscan.serving.deliveries import Deliveries, Delivery, refused
from stepscan.serving.errors import ApiError
from stepscan.serving.logs import log
from stepscan.storage.atomic import sync

_MAGIC = b"stepscan sessions 1\n"
_HEAD = struct.Struct("<IIB16s")  # bytes of the content, checksum of the rest, kind, id
_STATE, _CLOSED = 1, 2
_MOST_BYTES = 2**31  # of an entry
_AGAIN = 5  # seconds after which what could not be written is written again
_COMPACT = 2**26  # bytes, from which on a file that is mostly outdated is written anew


class SavedSession(NamedTuple):
    """A session as it is on disk."""

    id: str
    position: int
    ttl: float
    rollback: int
    client: str
    state: bytes


class _Batch(NamedTuple):
    entries: dict[str, tuple[int, bytes]]  # kind and entry of each session
    deliveries: list[Delivery]


class Journal(threading.Thread):
    """Appends the states of a model's sessions to a file, in a thread of its own; one flush for all that waits.

    Args:
        path: the file; it is made if it does not exist.
        deliveries: the way to the event loop, for answers that wait for the disk.

    Raises:
        StepscanError: the file cannot be read or written, or is something else.
    """

    def __init__(self, path: Path, deliveries: Deliveries) -> None:
        super().__init__(name=f"journal {path.name}", daemon=True)
        self.path, self._deliveries = path, deliveries
        self._dirty: dict[str, Any] = {}
        self._closed: list[str] = []
        self._inbox: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._unwritten: dict[str, tuple[int, bytes]] = {}  # entries, also those that could not be written before
        self._places: dict[str, tuple[int, int]] = {}  # where the last entry of each session is: offset and size
        try:
            self._file = _opened(path)
            self._size = self._read_places()
        except OSError as error:
            raise StepscanError(f"{path} cannot be used: {error.strerror}") from None

    # For the thread that steps: ----------------------------------------------------------------------------------

    def keep(self, record: Any) -> None:
        """Write the session's state with the next commit."""
        self._dirty[record.id] = record

    def forget(self, id: str) -> None:
        """Write that a session is closed with the next commit."""
        self._dirty.pop(id, None)
        self._closed.append(id)

    def commit(self, deliveries: Deliveries) -> bool:
        """Write what is to be written, and only then make the deliveries; False if nothing is to be written."""
        if not (self._dirty or self._closed):
            return False
        entries = {id: (_STATE, _entry(_STATE, id, _content(record))) for id, record in self._dirty.items()}
        entries |= {id: (_CLOSED, _entry(_CLOSED, id, b"")) for id in self._closed}
        self._dirty, self._closed = {}, []
        self._inbox.put(_Batch(entries, deliveries.take()))
        return True

    def end(self) -> None:
        """Let the thread end after all that it was given."""
        self._inbox.put(None)

    # The thread: -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        is_ending = False
        while not is_ending:
            batches = self._taken()
            chosen = [batch for batch in batches if batch is not None]
            deliveries = [delivery for batch in chosen for delivery in batch.deliveries]
            try:
                self._append(chosen)
            except OSError as error:
                log("sessions cannot be written", level=40, reason=error.strerror)
                message = f"it is done, but cannot be written to disk yet: {error.strerror}"
                deliveries = refused(deliveries, ApiError(503, "not_durable", message, retry_after=_AGAIN))
            self._deliveries.send(deliveries)
            is_ending = len(chosen) < len(batches)
        self._file.close()

    def _taken(self) -> list[_Batch | None]:
        """All that was given; waits for it, or for the time to write again what could not be written."""
        batches: list[_Batch | None] = []
        with suppress(queue.Empty):
            batches.append(self._inbox.get(timeout=_AGAIN if self._unwritten else None))
            while True:
                batches.append(self._inbox.get_nowait())
        return batches

    def _append(self, batches: list[_Batch]) -> None:
        for batch in batches:
            self._unwritten |= batch.entries
        if not self._unwritten:
            return
        self._file.truncate(self._size)  # without what was written of entries that failed
        self._file.seek(self._size)
        _write(self._file, b"".join(entry for _, entry in self._unwritten.values()))
        os.fdatasync(self._file.fileno())
        for id, (kind, entry) in self._unwritten.items():
            self._places.pop(id, None)
            if kind == _STATE:
                self._places[id] = self._size, len(entry)
            self._size += len(entry)
        self._unwritten = {}
        live = sum(size for _, size in self._places.values())
        if self._size > _COMPACT and self._size > 4 * live:
            try:
                self._compact()
            except OSError as error:
                log("outdated states cannot be dropped", level=30, reason=error.strerror)

    def _compact(self) -> None:
        """Write a file of the last states alone, and put it in the place of this one."""
        temporary, places = self.path.with_suffix(".new"), {}
        new = _opened(temporary)
        try:
            new.truncate(0)
            length = _write(new, _MAGIC)
            for id, (offset, size) in self._places.items():
                self._file.seek(offset)
                places[id] = length, size
                length += _write(new, self._file.read(size))
            os.fsync(new.fileno())
            temporary.replace(self.path)
        except BaseException:
            new.close()
            raise
        self._file.close()
        self._file, self._places, self._size = new, places, length
        sync(self.path.parent)

    # Before the thread runs: -------------------------------------------------------------------------------------

    def saved(self) -> Iterator[SavedSession]:
        """The sessions on disk."""
        for id, (offset, size) in list(self._places.items()):
            self._file.seek(offset + _HEAD.size)
            content = self._file.read(size - _HEAD.size)
            header, _, state = content.partition(b"\n")
            yield SavedSession(id=id, state=state, **json.loads(header))

    def _read_places(self) -> int:
        """Find the last entry of each session; the size of the file without an incomplete entry at its end."""
        size = os.fstat(self._file.fileno()).st_size
        start = self._file.read(len(_MAGIC))
        if not _MAGIC.startswith(start):
            raise StepscanError(f"{self.path}: expected sessions that stepscan serve wrote, got another file")
        if start != _MAGIC:  # new, or killed while it was made
            self._file.seek(0)
            _write(self._file, _MAGIC)
            self._file.truncate()
            os.fsync(self._file.fileno())
            sync(self.path.parent)
            return len(_MAGIC)
        end = len(_MAGIC)
        while (entry := self._read_entry()) is not None:
            kind, id, length = entry
            self._places.pop(id, None)
            if kind == _STATE:
                self._places[id] = end, length
            end += length
        if end < size:
            log("an incomplete entry at the end of the sessions was dropped", file=self.path.name, bytes=size - end)
            self._file.truncate(end)
            os.fsync(self._file.fileno())
        return end

    def _read_entry(self) -> tuple[int, str, int] | None:
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        length, checksum, kind, id = _HEAD.unpack(head)
        if length > _MOST_BYTES:
            return None
        content = self._file.read(length)
        if len(content) < length or zlib.crc32(content, zlib.crc32(head[8:])) != checksum:
            return None
        return kind, id.hex(), _HEAD.size + length


def _opened(path: Path) -> FileIO:
    """A file to read and write, of this user alone, without a buffer, which would write again what failed."""
    return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")


def _write(file: FileIO, content: bytes) -> int:
    """Write all of some bytes; how many these are."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
    return len(content)


def _entry(kind: int, id: str, content: bytes) -> bytes:
    rest = struct.pack("<B16s", kind, bytes.fromhex(id))
    return struct.pack("<II", len(content), zlib.crc32(content, zlib.crc32(rest))) + rest + content


def _content(record: Any) -> bytes:
    settings = record.settings
    header = {"position": record.position, "ttl": settings.ttl, "rollback": settings.rollback, "client": record.client}
    return json_text(header).encode() + b"\n" + record.session.state()
