"""Longer work, which is done in pieces between steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from stepscan.serving.fair_queue import FairQueue
from stepscan.serving.logs import log_unexpected


class Work(NamedTuple):
    """Work in pieces, and what follows."""

    client: str  # for taking turns
    pieces: Iterator[Any]  # with the result as the value that it returns
    done: Callable[[Any], None]  # called with the result
    failed: Callable[[Exception], None]


class WorkQueue:
    """Work that is not done yet. Used by one thread."""

    def __init__(self) -> None:
        self._queue: FairQueue[Work] = FairQueue()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, work: Work) -> None:
        """Add work."""
        self._queue.put(work.client, work)

    def run(self, seconds: float) -> None:
        """Do pieces, at least one if there is one, for about so long."""
        end = time.monotonic() + seconds
        while self._queue:
            work = self._queue.pop()
            try:
                next(work.pieces)
            except StopIteration as result:
                work.done(result.value)
            except Exception as error:
                log_unexpected(error)
                work.failed(error)
            else:
                self.put(work)
            if time.monotonic() >= end:
                return
