"""HTTP connections whose headers and number are bounded."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from stepscan.serving.errors import ApiError

_MOST_BYTES, _MOST_LINES = 2**15, 100  # of the headers of a request
_HEAD, _CONTINUE, _END_OF_HEAD = b"HTTP/1.1 ", b"HTTP/1.1 100 ", b"\r\n\r\n"
_LINES = {400: b"400 Bad Request", 408: b"408 Request Timeout", 431: b"431 Request Header Fields Too Large"}


class _JoinedWrites:
    """A transport that writes the head of an answer together with what follows: one system call less.

    Args:
        transport: the transport.
    """

    def __init__(self, transport: Any) -> None:
        self.plain, self._head = transport, b""
        self.joins = True  # not for HEAD, whose answer is nothing but a head

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def write(self, data: bytes) -> None:
        is_head = data.startswith(_HEAD) and data.endswith(_END_OF_HEAD) and not data.startswith(_CONTINUE)
        if is_head and self.joins and not self._head:
            self._head = data
            return
        head, self._head = self._head, b""
        self.plain.write(head + data if head else data)

    def close(self) -> None:
        self.write(b"")
        self.plain.close()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which refuses headers that are too large or too slow, and connections that are too many.

    `make_protocol` sets the class variables.
    """

    most_connections = 20_000
    header_seconds = 30.0

    _header_bytes = _header_lines = 0
    _is_in_headers = False
    _has_refused = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_JoinedWrites(transport))  # type: ignore[arg-type]
        if len(self.connections) > self.most_connections:
            transport.abort()
            return
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._has_refused:
            return
        super().data_received(data)
        if self._is_in_headers and not self._has_refused:
            self._header_bytes += len(data)
            if self._header_bytes > _MOST_BYTES:
                self._refuse(431, "headers_too_large", f"headers: expected at most {_MOST_BYTES:,} bytes, got more")

    def handle_websocket_upgrade(self) -> None:
        """A WebSocket begins, whose head is written at once."""
        self.transport = self.transport.plain  # type: ignore[attr-defined]
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """A request begins; see uvicorn's protocol, as for the methods below."""
        super().on_message_begin()
        self.scope["abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]  # of clients that do not read
        self._header_bytes = self._header_lines = 0
        self._is_in_headers = True
        if self._timer is None:
            self._expect_headers()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        super().on_url(url)
        self._count(len(url), 0)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; raises a ValueError if it is one too many."""
        self._count(len(name) + len(value), 1)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers have arrived."""
        self._is_in_headers = False
        self._stop_timer()
        self.transport.joins = self.parser.get_method() != b"HEAD"  # type: ignore[attr-defined]
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        if not self._has_refused:
            self._refuse(400, "bad_request", "expected a request of HTTP/1.1, got something else")

    def _count(self, size: int, lines: int) -> None:
        self._header_bytes += size
        self._header_lines += lines
        if self._header_bytes > _MOST_BYTES or self._header_lines > _MOST_LINES:
            message = f"headers: expected at most {_MOST_BYTES:,} bytes in {_MOST_LINES} lines, got more"
            self._refuse(431, "headers_too_large", message)
            raise ValueError(message)  # the parser stops

    def _expect_headers(self) -> None:
        self._timer = self.loop.call_later(self.header_seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        if self._is_in_headers:
            self._refuse(408, "timeout", f"headers: expected all of them within {self.header_seconds:g} seconds")
        elif self.cycle is None and not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, kind: str, message: str) -> None:
        self._has_refused = True
        content = ApiError(status, kind, message).content
        lines = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(lines % (_LINES[status], len(content)) + content)
        self.transport.close()


def make_protocol(connections: int, seconds: float) -> type[BoundedProtocol]:
    """A protocol with bounds.

    Args:
        connections: at once, at most.
        seconds: that the headers of a request may take.
    """
    return type("Protocol", (BoundedProtocol,), {"most_connections": connections, "header_seconds": seconds})
