"""What a text's symbols go through, from the thread that writes them to the event loop, which sends them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, NamedTuple

from stepscan.serving.deliveries import Deliveries

MOST_UNREAD = 1024  # symbols that wait for a client to read them; then its text is not written on


class Symbol(NamedTuple):
    """A symbol that was written."""

    text: str  # what it adds to the text
    id: int
    probability: float


class Ending(NamedTuple):
    """How a text ended."""

    text: str  # what was held back
    reason: str  # length, stop or end
    written: int  # symbols
    prompt_symbols: int
    known_symbols: int  # of the prompt, that were not read again


class Channel:
    """Symbols of one text. `put`, `end` and `fail` are for the thread that writes, the rest for the event loop.

    Args:
        deliveries: of the thread that writes.
        eager: whether the reader wants symbols as they come; otherwise it is woken at the end alone.
    """

    def __init__(self, deliveries: Deliveries, *, eager: bool) -> None:
        self._deliveries, self.eager = deliveries, eager
        self._symbols: list[Symbol] = []
        self._wake = asyncio.Event()
        self._ending: Ending | None = None
        self._error: BaseException | None = None
        self.is_cancelled = False  # the reader has gone

    @property
    def is_full(self) -> bool:
        """Whether the reader is too far behind."""
        return self.eager and len(self._symbols) >= MOST_UNREAD

    def put(self, symbol: Symbol) -> None:
        """Add a symbol."""
        self._symbols.append(symbol)

    def wake(self) -> None:
        """Wake the reader with the next delivery."""
        self._deliveries.add(self._wake.set)

    def end(self, ending: Ending) -> None:
        """End the text, with the next delivery: after what it is to wait for."""
        self._deliveries.add(self._finish, ending, None, refuse=partial(self._finish, None))

    def fail(self, error: BaseException) -> None:
        """End the text with an error, likewise."""
        self._deliveries.add(self._finish, None, error)

    def _finish(self, ending: Ending | None, error: BaseException | None) -> None:
        self._ending, self._error = ending, error
        self._wake.set()

    async def read(self) -> tuple[list[Symbol], Ending | None]:
        """The symbols since the last call, at least one unless the text has ended, and how it ended.

        Raises:
            BaseException: the text ended with this error.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            symbols, self._symbols = self._symbols, []
            if self._error is not None:
                raise self._error
            if self._ending is not None or symbols:
                return symbols, self._ending

    def cancel(self) -> None:
        """Say that nobody reads any more; the text is not written on."""
        self.is_cancelled = True


def joined_text(symbols: list[Symbol]) -> str:
    """The text of symbols."""
    return "".join([symbol.text for symbol in symbols])


def described(symbols: list[Symbol]) -> list[dict[str, Any]]:
    """Symbols as they are answered."""
    return [{"id": one.id, "text": one.text, "probability": one.probability} for one in symbols]
