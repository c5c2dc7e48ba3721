"""The transitions that a conditional random field forbids: from one tag to another, at the start, and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Instead of −∞, whose gradient is NaN: next to any score, its exponential is exactly 0, and sums of it are finite.
FORBIDDEN = -1e30
EDGE = -1  # in a forbidden pair: before the first tag, or after the last


class AllowedTransitions(NamedTuple):
    """Masks of what is allowed: transitions `[K, K]` (from, to), first tags `[K]` and last tags `[K]`."""

    transitions: NDArray[np.bool_]
    start: NDArray[np.bool_]
    end: NDArray[np.bool_]

    def forbidden(self) -> list[list[int]]:
        """The forbidden pairs, as for `allowed_transitions`: those of starts, then of transitions, then of ends."""
        starts, ends = ((~mask).nonzero()[0].tolist() for mask in (self.start, self.end))
        pairs = np.argwhere(~self.transitions).tolist()
        return [*([EDGE, tag] for tag in starts), *pairs, *([tag, EDGE] for tag in ends)]


def allowed_transitions(tags: int, forbidden: Sequence[Sequence[int]]) -> AllowedTransitions:
    """The transitions that are not forbidden.

    Args:
        tags: K.
        forbidden: pairs `[before, after]` of tags 0 … K−1; `[-1, tag]`: the tag is never first; `[tag, -1]`: never
            last.

    Raises:
        ValueError: a pair of other numbers, or all first tags, all last tags, or all that follow a tag are forbidden.
    """
    masks = AllowedTransitions(np.ones((tags, tags), dtype=bool), np.ones(tags, dtype=bool), np.ones(tags, dtype=bool))
    for before, after in forbidden:
        if not (EDGE <= before < tags and EDGE <= after < tags and (before, after) != (EDGE, EDGE)):
            raise ValueError(f"a forbidden pair is of tags 0 … {tags - 1}, or -1 and a tag, got {[before, after]}")
        if after == EDGE:
            masks.end[before] = False
        else:
            (masks.start if before == EDGE else masks.transitions[before])[after] = False
    if not (masks.start.any() and masks.end.any() and masks.transitions.any(axis=1).all()):
        raise ValueError("every first tag, every last tag, or all that could follow some tag, is forbidden; leave one")
    return masks
