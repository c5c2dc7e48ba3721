"""WebSockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from stepscan.serving.call import ClientGone, parsed
from stepscan.serving.errors import ApiError, as_api_error, busy, internal, not_found
from stepscan.serving.fields import PushAllFields
from stepscan.serving.inputs import check_source
from stepscan.serving.logs import log_unexpected
from stepscan.serving.push_all import all_pushed
from stepscan.serving.record import Record
from stepscan.serving.routes.sessions import opened
from stepscan.serving.socket_protocol import FULL, size_of
from stepscan.serving.socket_session import SocketSession

_WAITING = 16  # messages that are read before they are answered
_MOST_KEPT = 64  # messages, while a text is written
_REFUSED, _LEAVING, _FAILED = 1008, 1001, 1011  # close codes


class Socket:
    """A WebSocket, as those see it who answer its messages.

    Args:
        receive, send: of ASGI.
        served: all that is served.
        client: who asks.
    """

    def __init__(self, receive: Any, send: Any, served: Any, client: str) -> None:
        self._receive, self._send = receive, send
        self.served, self.options, self.client = served, served.options, client
        self._messages: asyncio.Queue[str | bytes | None] = asyncio.Queue(_WAITING)
        self._kept: deque[str | bytes] = deque()
        self._share, self._kept_bytes = served.bodies.share(client), 0
        self._refusal: ApiError | None = None  # of what arrived
        self._has_ended = False  # whether no message follows
        self._reader = asyncio.ensure_future(self._read())

    async def next(self) -> str | bytes | None:
        """The next message: one that was kept, or else as `receive`."""
        if not self._kept:
            return await self.receive()
        message = self._kept.popleft()
        self._kept_bytes -= len(message)
        self._share.release(size_of(message))
        return message

    async def receive(self) -> str | bytes | None:
        """The next message that arrives; None at the end."""
        message = None if self._has_ended else await self._messages.get()
        if message is None:
            self._has_ended = True
        else:
            self._share.release(size_of(message))
        return message

    def check(self) -> None:
        """Check, at the end, that there was room for all that arrived.

        Raises:
            ApiError: there was not.
        """
        if self._refusal is not None:
            raise self._refusal

    def keep(self, message: str | bytes) -> None:
        """Keep a message for `next`.

        Raises:
            ApiError: there is no room for it.
        """
        if len(self._kept) >= _MOST_KEPT or self._kept_bytes + len(message) > self.options.max_body * 2**20:
            most = f"{_MOST_KEPT} messages of {self.options.max_body} MB together"
            raise busy(f"expected at most {most} to wait, got more")
        self._share.hold(size_of(message))
        self._kept_bytes += len(message)
        self._kept.append(message)

    async def send(self, content: bytes) -> None:
        """Send JSON as a text message; errors are those of `send_bytes`."""
        await self._send_in_time({"type": "websocket.send", "text": content.decode()})

    async def send_bytes(self, content: bytes) -> None:
        """Send a binary message.

        Raises:
            ClientGone: the client has gone away, or does not read.
        """
        await self._send_in_time({"type": "websocket.send", "bytes": content})

    async def reply(self, reply: Any) -> Any:
        """What a thread answers.

        Raises:
            ApiError: it does not answer in time.
        """
        return await reply.within(self.options.timeout)

    async def close(self, code: int) -> None:
        """Close the connection."""
        self._reader.cancel()
        self._share.end()
        await self._send({"type": "websocket.close", "code": code})

    def stop(self) -> None:
        """Read no further message."""
        self._reader.cancel()

    async def _send_in_time(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self.options.client_timeout):
                await self._send(message)
        except OSError:  # uvicorn's ClientDisconnected is one, TimeoutError too
            raise ClientGone from None

    async def _read(self) -> None:
        try:
            while (message := await self._receive())["type"] == "websocket.receive":
                text = message.get("text")
                content = message["bytes"] if text is None else text
                self._share.hold(size_of(content))
                await self._messages.put(content)
        except ApiError as error:
            self._refusal = error
        finally:
            await self._messages.put(None)


class Sockets:
    """The WebSockets that are open.

    Args:
        served: all that is served.
    """

    def __init__(self, served: Any) -> None:
        self._served, self._open = served, set[Socket]()
        self._is_ending = False

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._open)

    def end(self) -> None:
        """Answer the messages that have arrived, and close."""
        self._is_ending = True
        for socket in self._open:
            socket.stop()

    async def answer(self, scope: Any, receive: Any, send: Any, client: str, protocol: str | None) -> None:
        """Answer a WebSocket until its end."""
        await receive()  # its beginning
        await send({"type": "websocket.accept", "subprotocol": protocol})
        socket = Socket(receive, send, self._served, client)
        self._open.add(socket)
        code = _LEAVING
        try:
            await self._route(scope)(socket)
            socket.check()
        except ClientGone:
            code = _REFUSED
        except Exception as error:
            log_unexpected(error)
            with suppress(ClientGone):
                await socket.send((as_api_error(error) or internal()).content)
            refused = as_api_error(error)
            code = _FAILED if refused is None else FULL if refused.status == 429 else _REFUSED
        finally:
            self._open.discard(socket)
            await _closed(socket, code)

    def _route(self, scope: Any) -> Callable[[Socket], Coroutine[Any, Any, None]]:
        """What answers a WebSocket of a path.

        Raises:
            ApiError: the path is not one of a WebSocket.
        """
        parts = scope["path"].split("/")[1:]
        if parts == ["v1", "push"]:
            return _push
        if len(parts) == 4 and parts[:2] == ["v1", "models"] and parts[3] == "stream":
            query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=16)
            return lambda socket: _stream(socket, parts[2], {name: values[-1] for name, values in query.items()})
        raise not_found("expected a WebSocket at /v1/push or /v1/models/{model}/stream, got another path")


async def _push(socket: Socket) -> None:
    """Push pieces into many sessions with each message."""
    while (message := await socket.next()) is not None:
        try:
            content = await all_pushed(socket, parsed(message, PushAllFields))
        except ClientGone:
            raise
        except Exception as error:
            log_unexpected(error)
            content = (as_api_error(error) or internal()).content
        await socket.send(content)


async def _stream(socket: Socket, name: str, query: dict[str, str]) -> None:
    """Answer the messages of one session: a new one, which ends with the connection, or one that is open."""
    with socket.served.engine(name).in_use() as engine:
        if (id := query.get("session")) is not None:
            await SocketSession(socket, _of_model(socket.served.record(id), name)).answer_all()
            return
        check_source(engine, query.get("source"))
        record = await opened(socket, engine, {"durable": False if engine.journal else None}, query.get("source"))
        try:
            await SocketSession(socket, record).answer_all()
        finally:
            engine.stepper.submit(engine.stepper.sessions.give_up, record)


def _of_model(record: Record, name: str) -> Record:
    if record.engine.name != name:
        raise not_found(f"session: expected one of the model {name!r}, got one of {record.engine.name!r}")
    return record


async def _closed(socket: Socket, code: int) -> None:
    with suppress(RuntimeError, OSError):  # it is closed already
        await socket.close(code)
