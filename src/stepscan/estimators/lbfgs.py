"""The minimum of a smooth convex function: L-BFGS in float32 (Nocedal & Wright 2006, algorithm 7.4).

SciPy's works in float64 and keeps twenty copies of the weights, which are many here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from stepscan.runtime.batches import Array

_MEMORY = 6  # pairs of steps and changes of the gradient
_HALVINGS = 30
_ENOUGH = 1e-4  # of the decrease that the slope promises


def minimise(
    function: Callable[[Array], tuple[float, Array]], start: Array, iterations: int, tolerance: float = 1e-4
) -> Array:
    """Where `function` (its value and gradient at a point) is least.

    Args:
        function: of a vector.
        start: the first point.
        iterations: steps at most.
        tolerance: share of its value by which an iteration must lower it, or it is the last.
    """
    point = start
    value, gradient = function(point)
    memory: deque[tuple[Array, Array, float]] = deque(maxlen=_MEMORY)
    for _ in range(iterations):
        direction = _direction(gradient, memory)
        slope = float(gradient @ direction)
        if not slope < 0:
            break
        step = 1.0 if memory else min(1.0, 1 / float(np.abs(gradient).sum()))
        for _ in range(_HALVINGS):
            moved = np.float32(step) * direction
            value_there, gradient_there = function(point + moved)
            if value_there <= value + _ENOUGH * step * slope:
                break
            step /= 2
        else:
            break
        change = gradient_there - gradient
        if (curvature := float(moved @ change)) > 0:
            memory.append((moved, change, curvature))
        decrease = value - value_there
        point, value, gradient = point + moved, value_there, gradient_there
        if len(memory) > 2 and decrease <= tolerance * abs(value):
            break
    return point


def _direction(gradient: Array, memory: deque[tuple[Array, Array, float]]) -> Array:
    """Minus the gradient times the inverse of the curvature, as far as the last steps tell it."""
    found, shares = -gradient, []
    for moved, change, curvature in reversed(memory):
        shares.append(float(moved @ found) / curvature)
        found -= np.float32(shares[-1]) * change
    if memory:
        _, change, curvature = memory[-1]
        found *= np.float32(curvature / float(change @ change))
    for (moved, change, curvature), share in zip(memory, reversed(shares), strict=True):
        found += np.float32(share - float(change @ found) / curvature) * moved
    return found
