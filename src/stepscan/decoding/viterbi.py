"""The best path through a lattice of scores (Viterbi 1967), for a whole batch; NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_TERMS = 2**22  # of [B, K, K] that are looked at together


def viterbi(
    scores: Floats, lengths: NDArray[np.integer], transitions: Floats, start: Floats, end: Floats
) -> NDArray[np.int64]:
    """For each row the path y that maximises `start[y_1] + Σ scores[t, y_t] + Σ transitions[y_{t−1}, y_t] + end[y_T]`.

    Args:
        scores: `[B, T, K]`, right-padded; what stands in the padding changes nothing.
        lengths: `[B]`, 0 … T.
        transitions: `[K, K]`, from a tag to the next.
        start, end: `[K]`, of the first and the last tag.

    Returns:
        `[B, T]` tags, 0 in the padding. Of equally good ones the first.
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
    found = np.zeros((rows, steps), dtype=np.int64)
    tag, everyone = (best + end).argmax(axis=1), np.arange(rows)
    for t in range(steps - 1, -1, -1):
        running = t < lengths
        found[:, t] = np.where(running, tag, 0)
        tag = np.where(running, came_from[everyone, t, tag], tag)
    return found


def _best_before(best: Floats, transitions: Floats) -> tuple[NDArray[np.int64], Floats]:
    """For each tag the best one before it, `[B, K]`, and the score with which it is reached so."""
    tags = len(transitions)
    width = max(1, min(tags, _TERMS // max(1, tags)))
    together = max(1, _TERMS // max(1, tags * width))
    origin, reached = np.empty(best.shape, np.int64), np.empty_like(best)
    for row in range(0, len(best), together):
        for tag in range(0, tags, width):
            place = slice(row, row + together), slice(tag, tag + width)
            paths = best[place[0], :, None] + transitions[:, place[1]]
            origin[place] = paths.argmax(axis=1)
            reached[place] = np.take_along_axis(paths, origin[place][:, None], axis=1)[:, 0]
    return origin, reached
