"""How the rows of a batch are dealt to processes."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np


def deal(sizes: Sequence[int], processes: int) -> list[np.ndarray]:
    """Deal rows so that each process has about as many items: the longest first, each to the one with the fewest items
    (longest processing time first: Graham 1969).

    Args:
        sizes: items of each row.
        processes: how many.

    Returns:
        for each process the positions of its rows, in order; none, if there are fewer rows than processes.
    """
    rows: list[list[int]] = [[] for _ in range(processes)]
    loads = [(0, 0, process) for process in range(processes)]  # items, rows, number: a heap
    for position in np.argsort(-np.asarray(sizes, dtype=np.int64), kind="stable").tolist():
        items, count, process = heapq.heappop(loads)
        rows[process].append(position)
        heapq.heappush(loads, (items + int(sizes[position]), count + 1, process))
    return [np.array(sorted(part), dtype=np.int64) for part in rows]


def stretch(rows: int, rank: int, processes: int) -> slice:
    """The rows of a process, if neighbouring ones stay together: the first processes have one more where the number
    does not divide."""
    each, more = divmod(rows, processes)
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))
