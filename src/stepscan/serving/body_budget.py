"""How many bytes of requests that have not arrived may be held, of all clients together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stepscan.serving.errors import busy

_SHARE = 4  # times the free bytes: what one client may hold, so that there is always room for another


class BodyBudget:
    """Counts the bytes of bodies from when they arrive to when they are read. Used by the event loop.

    Args:
        most: bytes, at most.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self._clients: Counter[str] = Counter()

    @contextmanager
    def body_of(self, client: str) -> Iterator[Callable[[int], None]]:
        """A context in which a body is held; its value is called with the size of each piece of it.

        Raises:
            ApiError: there is no room for a piece.
        """
        size = 0

        def hold(count: int) -> None:
            nonlocal size
            if self._clients[client] + count > _SHARE * (self.most - self.held - count):
                raise busy(f"expected bodies of at most {self.most:,} bytes to arrive at once, got more")
            size += count
            self.held += count
            self._clients[client] += count

        try:
            yield hold
        finally:
            self.held -= size
            self._clients[client] -= size
            if not self._clients[client]:
                del self._clients[client]
