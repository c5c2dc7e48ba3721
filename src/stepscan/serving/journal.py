"""Sessions on disk: a file of a model to which states are appended, and flushed before what they answer is sent.

The file is a sequence of entries (length, checksum, kind, id, content); the last one of a session counts. A process
that is killed leaves at most an incomplete entry at the end, of an answer that was not sent.
"""

from __future__ import annotations

import json
import os
import queue
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stepscan.errors import StepscanError
from stepscan.json_text import json_text
from stepscan.serving.deliveries import Deliveries, Delivery, refused
from stepscan.serving.errors import ApiError
from stepscan.serving.logs import log

_MAGIC = b"stepscan sessions 1\n"
_HEAD = struct.Struct("<IIB16s")  # bytes of the content, checksum of the rest, kind, id
_STATE, _CLOSED = 1, 2
_MOST_BYTES = 2**31  # of an entry
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
    entries: list[bytes]
    ids: list[tuple[str, bool]]  # of the entries, and whether they are states
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
        self._places: dict[str, tuple[int, int]] = {}  # where the last entry of each session is: offset and size
        try:
            self._file = path.open("r+b" if path.exists() else "w+b")
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
        entries = [_entry(_STATE, record.id, _content(record)) for record in self._dirty.values()]
        entries += [_entry(_CLOSED, id, b"") for id in self._closed]
        ids = [(id, True) for id in self._dirty] + [(id, False) for id in self._closed]
        self._dirty, self._closed = {}, []
        self._inbox.put(_Batch(entries, ids, deliveries.take()))
        return True

    def end(self) -> None:
        """Let the thread end after all that it was given."""
        self._inbox.put(None)

    # The thread: -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        while True:
            batches = [self._inbox.get()]
            while not self._inbox.empty():
                batches.append(self._inbox.get())
            chosen = [batch for batch in batches if batch is not None]
            deliveries = [delivery for batch in chosen for delivery in batch.deliveries]
            try:
                self._append(chosen)
            except OSError as error:
                log("sessions cannot be written", level=40, reason=error.strerror)
                message = f"the session has gone on, but its state cannot be written: {error.strerror}"
                deliveries = refused(deliveries, ApiError(503, "not_durable", message, retry_after=5))
            self._deliveries.send(deliveries)
            if len(chosen) < len(batches):
                self._file.close()
                return

    def _append(self, batches: list[_Batch]) -> None:
        content = b"".join(entry for batch in batches for entry in batch.entries)
        if not content:
            return
        self._file.seek(self._size)
        self._file.write(content)
        self._file.flush()
        os.fdatasync(self._file.fileno())
        for batch in batches:
            for entry, (id, is_state) in zip(batch.entries, batch.ids, strict=True):
                self._places.pop(id, None)
                if is_state:
                    self._places[id] = self._size, len(entry)
                self._size += len(entry)
        live = sum(size for _, size in self._places.values())
        if self._size > _COMPACT and self._size > 4 * live:
            self._compact()

    def _compact(self) -> None:
        """Write a file of the last states alone, and put it in the place of this one."""
        temporary, places = self.path.with_suffix(".new"), {}
        with temporary.open("w+b") as new:
            new.write(_MAGIC)
            for id, (offset, size) in self._places.items():
                self._file.seek(offset)
                places[id] = new.tell(), size
                new.write(self._file.read(size))
            new.flush()
            os.fsync(new.fileno())
            length = new.tell()
        temporary.replace(self.path)
        _sync_folder(self.path.parent)
        self._file.close()
        self._file = self.path.open("r+b")
        self._places, self._size = places, length

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
            self._file.write(_MAGIC)
            self._file.truncate()
            self._sync()
            _sync_folder(self.path.parent)
            return len(_MAGIC)
        end = len(_MAGIC)
        while (entry := self._read_entry()) is not None:
            kind, id, length = entry
            self._places.pop(id, None)
            if kind == _STATE:
                self._places[id] = end, length
            end += length
        if end < size:
            log(
                "an incomplete entry at the end of the sessions' file was dropped",
                file=self.path.name,
                bytes=size - end,
            )
            self._file.truncate(end)
            self._sync()
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

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _entry(kind: int, id: str, content: bytes) -> bytes:
    rest = struct.pack("<B16s", kind, bytes.fromhex(id))
    return struct.pack("<II", len(content), zlib.crc32(content, zlib.crc32(rest))) + rest + content


def _content(record: Any) -> bytes:
    settings = record.settings
    header = {"position": record.position, "ttl": settings.ttl, "rollback": settings.rollback, "client": record.client}
    return json_text(header).encode() + b"\n" + record.session.state()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
