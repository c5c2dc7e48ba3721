"""The transitions that a conditional random field forbids: from one tag to another, at the start, and at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepscan.errors import shown

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
        TypeError, ValueError: see `check_forbidden`.
    """
    check_forbidden(tags, forbidden)
    masks = AllowedTransitions(np.ones((tags, tags), dtype=bool), np.ones(tags, dtype=bool), np.ones(tags, dtype=bool))
    for before, after in forbidden:
        if after == EDGE:
            masks.end[before] = False
        else:
            (masks.start if before == EDGE else masks.transitions[before])[after] = False
    return masks


def check_forbidden(tags: int, forbidden: Any) -> None:
    """Check forbidden pairs as for `allowed_transitions`, without K² of memory.

    Raises:
        TypeError: `forbidden` is not a list of pairs of whole numbers.
        ValueError: a pair is of other numbers than tags, or all first tags, all last tags, or all that follow a tag are
            forbidden.
    """
    if not isinstance(forbidden, list | tuple):
        raise TypeError(f"forbidden: expected a list of pairs of tags, got {shown(forbidden)}")
    after: dict[int, set[int]] = {}
    for pair in forbidden:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(type(tag) is int for tag in pair)):
            raise TypeError(f"forbidden: expected a list of pairs of tags, got {shown(pair)} in it")
        if not (EDGE <= pair[0] < tags and EDGE <= pair[1] < tags and tuple(pair) != (EDGE, EDGE)):
            raise ValueError(f"forbidden: expected pairs of tags 0 … {tags - 1}, or -1 and a tag, got {list(pair)}")
        key, value = (tags, pair[0]) if pair[1] == EDGE else pair  # `tags` is the key of the end
        after.setdefault(key, set()).add(value)
    if any(len(followers) == tags for followers in after.values()):
        raise ValueError(
            "forbidden: expected a first tag, a last tag and a follower of each tag, got all forbidden; allow one"
        )
