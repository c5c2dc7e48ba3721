"""The best path through a lattice of scores (Viterbi 1967), for a whole batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_TERMS_AT_ONCE = 2**22  # of [B, K, K], which bounds the memory


def viterbi(
    scores: Floats, lengths: NDArray[np.integer], transitions: Floats, start: Floats, end: Floats
) -> NDArray[np.int64]:
    """For each row the path y that maximises `start[y_1] + Σ scores[t, y_t] + Σ transitions[y_{t−1}, y_t] + end[y_T]`.

    Args:
        scores: `[B, T, K]` of tags, right-padded; the padding has no effect.
        lengths: `[B]`, 0 … T.
        transitions: `[K, K]`, from a tag to the next.
        start, end: `[K]`, of the first and the last tag.

    Returns:
        `[B, T]` tags, 0 in the padding; ties are broken by the lower tag, from the last step on.
    """
    rows, steps, tags = scores.shape
    best: Floats = np.zeros((rows, tags), dtype=scores.dtype)
    came_from = np.zeros((rows, steps, tags), dtype=np.min_scalar_type(tags))
    for t in range(steps):
        if t == 0:
            reached = start + scores[:, 0]
        else:
            came_from[:, t], passed = _best_before(best, transitions)
            reached = passed + scores[:, t]
        best = np.where((t < lengths)[:, None], reached, best)
    paths = np.zeros((rows, steps), dtype=np.int64)
    tag, all_rows = (best + end).argmax(axis=1), np.arange(rows)
    for t in range(steps - 1, -1, -1):
        is_inside = t < lengths
        paths[:, t] = np.where(is_inside, tag, 0)
        tag = np.where(is_inside, came_from[all_rows, t, tag], tag)
    return paths


def _best_before(best: Floats, transitions: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The best previous tag of each tag, `[B, K]`, and the score of the path through it to the tag, `[B, K]`.

    Args:
        best: `[B, K]`, the score of the best path to each previous tag.
        transitions: `[K, K]`.
    """
    tags = len(transitions)
    width = max(1, min(tags, _TERMS_AT_ONCE // max(1, tags)))
    height = max(1, _TERMS_AT_ONCE // max(1, tags * width))
    origin, reached = np.empty(best.shape, np.int64), np.empty_like(best)
    for row in range(0, len(best), height):
        for tag in range(0, tags, width):
            block = slice(row, row + height), slice(tag, tag + width)
            scores = best[block[0], :, None] + transitions[:, block[1]]
            origin[block] = scores.argmax(axis=1)
            reached[block] = np.take_along_axis(scores, origin[block][:, None], axis=1)[:, 0]
    return origin, reached
