"""WebSocket connections whose messages, as long as nobody has read them, are bounded together."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from stepscan.serving.body_budget import BodyBudget, Share
from stepscan.serving.errors import ApiError

FULL = 1013  # the close code where there is no room: come again later
_EACH = 512  # bytes that a message takes besides its content, about
_FRAME = 64  # likewise, of a part of one
_CLOSING = 1.0  # seconds that a client has to read why its connection is closed


def size_of(message: str | bytes) -> int:
    """What a message that waits takes of the budget, in bytes."""
    return len(message) + _EACH


class _CountedQueue(asyncio.Queue[Any]):
    """Messages that nobody has read.

    Args:
        share: where they count.
    """

    def __init__(self, share: Share) -> None:
        super().__init__()
        self._share = share
        self.has_grown = False

    def put_nowait(self, item: Any) -> None:
        if item["type"] == "websocket.receive":
            self._share.hold(_size(item))
            self.has_grown = True
        super().put_nowait(item)

    async def get(self) -> Any:
        item = await super().get()
        if item["type"] == "websocket.receive":
            self._share.release(_size(item))
        return item


class BoundedSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which refuses what there is no room for: an error, then close code 1013.

    `make_socket_protocol` sets the class variable.
    """

    budget: BodyBudget

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._share = self.budget.share(self.client[0] if self.client else "local")
        self.queue: _CountedQueue = _CountedQueue(self._share)
        self._parts = self._arriving = 0  # bytes of a message that has not ended: of its parts; with what holds them
        self._is_refused = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._share.end()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self.queue.has_grown = False
        self._share.release(self._arriving)  # what is complete now counts in the queue
        try:
            super().data_received(data)
            self._share.hold(self._now_arriving(len(data)))
        except ApiError as error:
            self._refuse(error)

    def _now_arriving(self, received: int) -> int:
        """Bytes that have arrived of a message that is not complete, after so many more."""
        if self.frames:
            self._parts = received + (0 if self.queue.has_grown else self._parts)
            self._arriving = self._parts + _FRAME * len(self.frames)
        else:
            self._parts, self._arriving = 0, len(self.conn.reader.buffer)
        return self._arriving

    def _refuse(self, error: ApiError) -> None:
        """Say why, and close. What still arrives is dropped: to end the connection at once could lose the answer."""
        self._is_refused = self.close_sent = True
        self.stop_keepalive()
        self.conn.send_text(error.content)
        self.conn.send_close(FULL, error.kind)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.queue.put_nowait({"type": "websocket.disconnect", "code": FULL})
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_CLOSING, self.transport.close)


def make_socket_protocol(budget: BodyBudget) -> type[BoundedSocketProtocol]:
    """A protocol that counts with a budget."""
    return type("SocketProtocol", (BoundedSocketProtocol,), {"budget": budget})


def _size(event: Any) -> int:
    text = event.get("text")
    return size_of(event["bytes"] if text is None else text)
