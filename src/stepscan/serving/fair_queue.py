"""A queue in which clients take turns."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """First in, first out for each client; the clients take turns. Used by one thread."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, client: str, item: Item) -> None:
        """Add an item of a client, after its others."""
        self._queues.setdefault(client, deque()).append(item)
        self._size += 1

    def pop(self) -> Item:
        """Remove and return the first item of the client whose turn it is.

        Raises:
            IndexError: the queue is empty.
        """
        if not self._queues:
            raise IndexError("the queue is empty")
        client, items = next(iter(self._queues.items()))
        item = items.popleft()
        self._size -= 1
        self._queues.move_to_end(client)
        if not items:
            del self._queues[client]
        return item
