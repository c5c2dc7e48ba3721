"""What a conditional random field rules out: tags that never follow each other, come first, or come last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# In place of −∞, whose gradient is NaN: exp of it, beside any score, is exactly 0, and many of them add up to a number.
FORBIDDEN = -1e30
EDGE = -1  # in a forbidden pair: before the first tag, or after the last


class Allowed(NamedTuple):
    """What is not forbidden: transitions `[K, K]` (from, to), first tags `[K]` and last tags `[K]`."""

    transitions: NDArray[np.bool_]
    start: NDArray[np.bool_]
    end: NDArray[np.bool_]

    def forbidden(self) -> list[list[int]]:
        """The pairs that were given, in another order."""
        starts, ends = ((~one).nonzero()[0].tolist() for one in (self.start, self.end))
        pairs = np.argwhere(~self.transitions).tolist()
        return [*([EDGE, tag] for tag in starts), *pairs, *([tag, EDGE] for tag in ends)]


def allowed(tags: int, forbidden: Sequence[Sequence[int]]) -> Allowed:
    """What pairs `[before, after]` of tags leave; `[-1, tag]` is never first, `[tag, -1]` never last.

    Raises:
        ValueError: a pair names no tag, or forbids every first or last tag, or all that could follow a tag.
    """
    found = Allowed(np.ones((tags, tags), dtype=bool), np.ones(tags, dtype=bool), np.ones(tags, dtype=bool))
    for before, after in forbidden:
        if not (EDGE <= before < tags and EDGE <= after < tags and (before, after) != (EDGE, EDGE)):
            raise ValueError(f"a forbidden pair is of tags 0 … {tags - 1}, or -1 and a tag, got {[before, after]}")
        if after == EDGE:
            found.end[before] = False
        else:
            (found.start if before == EDGE else found.transitions[before])[after] = False
    if not (found.start.any() and found.end.any() and found.transitions.any(axis=1).all()):
        raise ValueError("every first tag, every last tag, or all that could follow some tag, is forbidden; leave one")
    return found
