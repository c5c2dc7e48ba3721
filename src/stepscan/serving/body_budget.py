"""How many bytes of requests and messages that have not been read may be held, of all clients together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stepscan.serving.errors import busy

_SHARE = 4  # times the free bytes: what one client may hold, so that there is always room for another


class BodyBudget:
    """Counts bytes from when they arrive to when they are read. Used by the event loop.

    Args:
        most: bytes, at most.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self._clients: Counter[str] = Counter()

    def share(self, client: str) -> Share:
        """What a connection of a client holds: nothing yet."""
        return Share(self, client)

    @contextmanager
    def body_of(self, client: str) -> Iterator[Callable[[int], None]]:
        """A context in which a body is held; its value is called with the size of each piece of it.

        Raises:
            ApiError: there is no room for a piece.
        """
        share = self.share(client)
        try:
            yield share.hold
        finally:
            share.end()

    def check(self, client: str, count: int) -> None:
        """Check that there is room for so many bytes of a client.

        Raises:
            ApiError: there is none.
        """
        if self._clients[client] + count > _SHARE * (self.most - self.held - count):
            raise busy(f"expected bodies and messages of at most {self.most:,} bytes to wait at once, got more")

    def add(self, client: str, count: int) -> None:
        """Count bytes of a client; fewer, if the number is negative."""
        self.held += count
        self._clients[client] += count
        if not self._clients[client]:
            del self._clients[client]


class Share:
    """What a request, or a connection, holds of a budget.

    Args:
        budget: the budget.
        client: of whom.
    """

    def __init__(self, budget: BodyBudget, client: str) -> None:
        self._budget, self._client, self.held = budget, client, 0

    def hold(self, count: int) -> None:
        """Hold so many bytes more.

        Raises:
            ApiError: there is no room for them.
        """
        if count:  # what takes no room is never refused
            self._budget.check(self._client, count)
        self._add(count)

    def release(self, count: int) -> None:
        """Hold so many bytes less; those that were never held do not count."""
        self._add(-min(count, self.held))

    def end(self) -> None:
        """Hold nothing."""
        self.release(self.held)

    def _add(self, count: int) -> None:
        self._budget.add(self._client, count)
        self.held += count
