"""What the processes of a training tell one another. `Team` is that of one process alone, with nobody to tell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from stepscan.errors import StepscanError

Item = TypeVar("Item")


class PeerLost(StepscanError):
    """Another process of the training ended.

    Args:
        message: which, why, and what to do.
        has_reason: whether it said why it ended. One that was killed did not.
    """

    def __init__(self, message: str, *, has_reason: bool = True) -> None:
        super().__init__(message)
        self.has_reason = has_reason


class Team:
    """The processes of a training; in this base class, one.

    All processes call the same methods in the same order. Values are plain data, as in JSON, so that no process runs
    what another sent.

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
    """

    rank, size = 0, 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums of the values of all processes, in float64."""
        return list(values)

    def sum_gradients(self, parameters: Iterable[Any]) -> None:
        """Replace each parameter's gradient by the sum over all processes; one that no process has stays None."""

    def share_weights(self, tensors: Iterable[Any]) -> None:
        """Replace the tensors by those of process 0."""

    def gather_bytes(self, content: bytes) -> list[bytes]:
        """The contents of all processes, in the order of their numbers."""
        return [content]

    def broadcast_bytes(self, content: bytes) -> bytes:
        """The content of process 0."""
        return content

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their numbers."""
        return [value]

    def broadcast(self, value: Any) -> Any:
        """The value of process 0."""
        return value

    def map(self, function: Callable[[list[Item]], Sequence[Any]], items: Sequence[Item]) -> list[Any]:
        """The results of `function` for all items, in order; each process computes those of its share.

        Args:
            function: items → a result for each: plain data.
            items: the same on all processes.
        """
        return list(function(list(items)))

    def wait(self) -> None:
        """Wait until all processes call this."""

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Tell the other processes why this one ends, if an exception ends it."""
        yield


ALONE = Team()
