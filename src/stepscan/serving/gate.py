"""How many requests are let in, and of whom."""

from __future__ import annotations

import math
import time
from collections import Counter

from stepscan.serving.errors import busy

_SHARE = 4  # times the free places: what one client may hold, so that there is always a place for another
_FORGET = 0.1  # weight of the newest interval between two requests that leave


class Gate:
    """Counts requests from when they are let in to when they are answered. Used by the event loop.

    Args:
        places: requests at once, at most.
        what: what they are, for messages.
    """

    def __init__(self, places: int, what: str) -> None:
        self._places, self._what = places, what
        self._clients: Counter[str] = Counter()
        self.count = self.refused = self.entered = 0
        self._interval, self._left = 0.01, time.monotonic()  # seconds between two that leave, about

    def check(self, client: str) -> None:
        """Check that there is room for a request of a client.

        Raises:
            ApiError: there is none.
        """
        free = self._places - self.count
        if free <= 0 or self._clients[client] >= _SHARE * free:
            self.refused += 1
            seconds = math.ceil(self._interval * max(1, self.count))
            raise busy(f"expected at most {self._places:,} {self._what} at once, got more", min(60, max(1, seconds)))

    def enter(self, client: str) -> None:
        """Let a request in, after `check`; errors are those of `check`."""
        self.check(client)
        self.count += 1
        self.entered += 1
        self._clients[client] += 1

    def leave(self, client: str) -> None:
        """Count a request that has left."""
        now = time.monotonic()
        self._interval += _FORGET * (now - self._left - self._interval)
        self._left = now
        self.count -= 1
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
