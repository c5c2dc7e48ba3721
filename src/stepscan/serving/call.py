"""A request, as the routes see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeVar

from stepscan.json_text import json_text
from stepscan.serving.deliveries import Reply
from stepscan.serving.errors import ApiError, timed_out, too_large
from stepscan.serving.fields import Fields, checked

JSON, BYTES, EVENTS = b"application/json", b"application/octet-stream", b"text/event-stream"
_LARGE = 2**16  # bytes of a body that is parsed in a thread
Request = TypeVar("Request", bound=Fields)


class Call:
    """One request of HTTP.

    Args:
        scope, receive, send: of ASGI.
        served: all that is served.
        client: who asks.
    """

    def __init__(self, scope: MutableMapping[str, Any], receive: Any, send: Any, served: Any, client: str) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.served, self.options, self.client = served, served.options, client
        self.arguments: dict[str, str] = {}  # of the path
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.is_begun = False  # whether the answer is
        self._is_large = False  # whether the body is

    @property
    def content_type(self) -> bytes:
        """The type of the body, without parameters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()

    async def body(self) -> bytes:
        """The body.

        Raises:
            ApiError: it is too large, does not arrive in time, or there is no room for it.
        """
        with self.served.bodies.body_of(self.client) as hold:
            return await self._arrived(hold)

    async def _arrived(self, hold: Callable[[int], None]) -> bytes:
        most, chunks, size = self.options.max_body * 2**20, [], 0
        declared = self.headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared[:20]) > most:
            raise too_large(f"body: expected at most {self.options.max_body} MB, got more")
        try:
            async with asyncio.timeout(self.options.client_timeout):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    if size > most:
                        raise too_large(f"body: expected at most {self.options.max_body} MB, got more")
                    hold(len(chunks[-1]))
                    if not message.get("more_body"):
                        return b"".join(chunks)
        except TimeoutError:
            raise timed_out(f"body: expected all of it within {self.options.client_timeout:g} seconds") from None

    async def fields(self, kind: type[Request], *, optional: bool = False) -> Request:
        """The body as checked fields; an empty body is no fields if they are `optional`.

        Raises:
            ApiError: it is not JSON, or a field is wrong; and as `body`.
        """
        if self.content_type not in (JSON, b""):
            raise ApiError(415, "unsupported_media_type", "expected the content type application/json, got another")
        with self.served.bodies.body_of(self.client) as hold:
            body = await self._arrived(hold)
            if optional and not body:
                body = b"{}"
            self._is_large = len(body) > _LARGE
            return await self.compute(parsed, body, kind)

    async def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function of what was in the body: computed in a thread if that is large, so that the event
        loop goes on."""
        if self._is_large:
            return await asyncio.to_thread(function, *arguments)
        return function(*arguments)

    async def reply(self, reply: Reply) -> Any:
        """What a thread answers.

        Raises:
            ApiError: it does not answer in time.
        """
        return await reply.within(self.options.timeout)

    async def answer(self, value: Any, status: int = 200) -> None:
        """Answer with JSON: a value, or bytes that are JSON already."""
        content = value if isinstance(value, bytes) else json_text(value).encode()
        await self.send_all(content, status, JSON)

    async def send_all(
        self, content: bytes, status: int = 200, kind: bytes = JSON, headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        """Answer with bytes of a content type."""
        lines = [(b"content-length", b"%d" % len(content)), *(headers or [])]
        if content:
            lines.append((b"content-type", kind))
        self.is_begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": lines})
        await self._send({"type": "http.response.body", "body": content})

    async def begin_events(self) -> None:
        """Begin an answer of server-sent events."""
        self.is_begun = True
        headers = [(b"content-type", EVENTS + b"; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send_event(self, data: bytes) -> None:
        """Send an event.

        Raises:
            ClientGone: the client does not read.
        """
        message = {"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True}
        try:
            async with asyncio.timeout(self.options.client_timeout):
                await self._send(message)
        except TimeoutError:
            raise ClientGone from None

    async def end_events(self) -> None:
        """End the events."""
        await self._send({"type": "http.response.body", "body": b""})

    @contextmanager
    def cancelled_with_client(self) -> Iterator[None]:
        """A context, after the body was read, which is cancelled as soon as the client goes away; then `ClientGone` is
        raised."""
        task = asyncio.current_task()
        assert task is not None
        watcher = asyncio.ensure_future(self._receive())
        is_gone = False

        def gone(_: Any) -> None:
            nonlocal is_gone
            is_gone = not watcher.cancelled()
            if is_gone:
                task.cancel()

        watcher.add_done_callback(gone)
        try:
            yield
        except asyncio.CancelledError:
            if is_gone:
                task.uncancel()
                raise ClientGone from None
            raise
        finally:
            watcher.remove_done_callback(gone)
            watcher.cancel()


class ClientGone(Exception):
    """The client has gone away, or does not read."""


def parsed(body: bytes | str, kind: type[Request]) -> Request:
    """JSON as checked fields.

    Raises:
        ApiError: it is not JSON, or a field is wrong.
    """
    return checked(kind, read_json(body))


def read_json(body: bytes | str) -> Any:
    """JSON as a value.

    Raises:
        ApiError: it is not JSON by RFC 8259.
    """
    try:
        text = body.decode() if isinstance(body, bytes) else body
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise ApiError(400, "bad_json", f"body: expected JSON, got something else: {reason}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")
