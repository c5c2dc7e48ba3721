"""The way from the threads that compute to the event loop, which answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from stepscan.serving.errors import timed_out


class Delivery(NamedTuple):
    """A call that the event loop makes."""

    call: Callable[..., None]
    arguments: tuple[Any, ...]
    refuse: Callable[[BaseException], None] | None = None  # what is called in its place if it must not succeed


class Deliveries:
    """Calls that a thread collects, and the event loop makes together.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._collected: list[Delivery] = []

    def add(
        self, call: Callable[..., None], *arguments: Any, refuse: Callable[[BaseException], None] | None = None
    ) -> None:
        """Collect a call; an answer says what is called with an error in its place."""
        self._collected.append(Delivery(call, arguments, refuse))

    def take(self) -> list[Delivery]:
        """What was collected, which is no longer."""
        collected, self._collected = self._collected, []
        return collected

    def send(self, deliveries: list[Delivery] | None = None) -> None:
        """Let the event loop make the calls: those given, or those collected."""
        calls = self.take() if deliveries is None else deliveries
        if calls:
            with suppress(RuntimeError):  # the loop has ended, and with it everybody who waits
                self._loop.call_soon_threadsafe(_run, calls)


def refused(deliveries: list[Delivery], error: BaseException) -> list[Delivery]:
    """The deliveries with an error in place of each answer."""
    return [one if one.refuse is None else Delivery(one.refuse, (error,)) for one in deliveries]


def _run(deliveries: list[Delivery]) -> None:
    for call, arguments, _ in deliveries:
        call(*arguments)


class Reply:
    """What the event loop waits for, and a thread answers.

    Args:
        deliveries: of the thread that answers.
    """

    __slots__ = ("_deliveries", "future")

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries, self.future = deliveries, asyncio.get_running_loop().create_future()

    @classmethod
    def of(cls, deliveries: Deliveries, future: asyncio.Future[Any]) -> Reply:
        """A reply to whoever waits for a future that exists; for any thread."""
        reply = cls.__new__(cls)
        reply._deliveries, reply.future = deliveries, future
        return reply

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits."""
        return not self.future.done()

    async def within(self, seconds: float) -> Any:
        """What the thread answers.

        Raises:
            ApiError: it does not answer in time.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self.future
        except TimeoutError:
            raise timed_out(f"expected an answer within {seconds:g} seconds, got none") from None

    def answer(self, value: Any) -> None:
        """Answer; the event loop gets it with the next delivery."""
        self._deliveries.add(_resolve, self.future, value, refuse=partial(_reject, self.future))

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        self._deliveries.add(_reject, self.future, error)


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _reject(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
