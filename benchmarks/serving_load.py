"""A load generator: HTTP/1.1 over plain sockets of asyncio, with as little work of its own as possible."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NamedTuple

_IDLE = 60  # seconds after which a connection is not used again


class Answer(NamedTuple):
    """What a request got."""

    status: int
    seconds: float  # to the end of the answer
    first: float  # seconds to the first event
    gaps: list[float]  # seconds between events
    letters: int
    body: bytes


class Connection:
    """A connection that is kept.

    Args:
        port: of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._used = float("-inf")

    async def post(self, path: str, fields: Any) -> Answer:
        """Send a request, and read the answer: events, or a body of known length."""
        if time.perf_counter() - self._used > _IDLE:  # the server may close it at the same moment
            self.close()
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        assert self._reader is not None
        assert self._writer is not None
        body = json.dumps(fields).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        started = time.perf_counter()
        self._writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        head_lines = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head_lines[9:12])
        if b"transfer-encoding: chunked" in head_lines:
            return await self._events(status, started)
        length = int(head_lines.partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
        content = await self._reader.readexactly(length)
        self._used = time.perf_counter()
        seconds = self._used - started
        return Answer(status, seconds, seconds, [], 0, content)

    async def _events(self, status: int, started: float) -> Answer:
        assert self._reader is not None
        last, first, gaps, letters = started, 0.0, [], 0
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            chunk = (await self._reader.readexactly(size + 2))[:-2]
            now = time.perf_counter()
            if not first:
                first = now - started
            elif b'"text"' in chunk:
                gaps.append(now - last)
            last = now
            letters += sum(len(json.loads(line[6:]).get("text", "")) for line in chunk.split(b"\n\n") if line)
        await self._reader.readexactly(2)
        self._used = time.perf_counter()
        return Answer(status, last - started, first, gaps, letters, b"")

    def close(self) -> None:
        """Close it."""
        if self._writer is not None:
            self._writer.close()


async def closed_loop(port: int, path: str, fields: Any, clients: int, seconds: float) -> list[Answer]:
    """The answers that so many clients get, each of which sends its next request after the last answer."""
    answers: list[Answer] = []
    end = time.perf_counter() + seconds

    async def ask() -> None:
        connection = Connection(port)
        while time.perf_counter() < end:
            answers.append(await connection.post(path, fields))
        connection.close()

    await asyncio.gather(*(ask() for _ in range(clients)))
    return answers


async def open_loop(port: int, path: str, fields: Any, rate: float, seconds: float) -> tuple[list[Answer], float]:
    """The answers to requests that are sent at a rate, whether or not those before are answered; and the rate that was
    kept."""
    answers: list[Answer] = []
    idle: list[Connection] = []
    running: set[asyncio.Task[None]] = set()

    async def ask() -> None:
        connection = idle.pop() if idle else Connection(port)
        answers.append(await connection.post(path, fields))
        idle.append(connection)

    started, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - started) < seconds:
        for _ in range(int(now * rate) - sent):
            task = asyncio.ensure_future(ask())
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        await asyncio.sleep(0.001)
    if running:
        await asyncio.wait(running, timeout=60)
    for connection in idle:
        connection.close()
    return answers, sent / seconds


def percentile(values: list[float], share: float) -> float:
    """A percentile, in milliseconds; NaN of nothing."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
