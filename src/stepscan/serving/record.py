"""A session that is open, as the server knows it."""

from __future__ import annotations

import secrets
import time
from collections import deque
from typing import Any, NamedTuple


class SessionSettings(NamedTuple):
    """What is set of a session when it is opened."""

    ttl: float  # seconds without use, after which it is closed
    rollback: int  # earlier states that are kept
    durable: bool  # whether it is on disk before an answer is sent


class Earlier(NamedTuple):
    """An earlier state of a session."""

    position: int
    snapshot: Any

    @property
    def nbytes(self) -> int:
        """Its size in bytes, about."""
        return self.snapshot.nbytes


class Record:
    """An open session. All but `id`, `engine`, `client` and `settings` belong to the thread that steps.

    Args:
        engine: the served model.
        settings: what is set of the session.
        client: who opened it.
        id: its identifier; None: a new one, of 128 random bits.
    """

    __slots__ = (
        *("id", "engine", "client", "settings", "session", "position", "earlier", "tasks"),
        *("is_busy", "is_closed", "used", "nbytes"),
    )

    def __init__(self, engine: Any, settings: SessionSettings, client: str, id: str | None = None) -> None:
        self.id = id or secrets.token_hex(16)
        self.engine, self.settings, self.client = engine, settings, client
        self.session: Any = None  # once it is made
        self.position = 0  # calls that changed it
        self.earlier: deque[Earlier] = deque(maxlen=settings.rollback)
        self.tasks: deque[Any] = deque()  # what waits for its turn, and what runs
        self.is_busy = self.is_closed = False
        self.used = time.monotonic()
        self.nbytes = 0

    def measure(self) -> int:
        """Measure the bytes of its states; how many more these are than before."""
        nbytes = self.session.nbytes
        if self.earlier:
            nbytes += len(self.earlier) * self.earlier[-1].nbytes
        grown, self.nbytes = nbytes - self.nbytes, nbytes
        return grown

    @property
    def description(self) -> dict[str, Any]:
        """What is answered about it."""
        engine, settings = self.engine, self.settings
        return {
            **{"id": self.id, "model": engine.name, "task": engine.model.task, "position": self.position},
            **{"ttl": settings.ttl, "rollback": settings.rollback, "durable": settings.durable, "bytes": self.nbytes},
        }
