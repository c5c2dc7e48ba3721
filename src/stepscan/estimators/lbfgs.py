"""L-BFGS in float32 (Nocedal & Wright 2006, algorithm 7.4): minimises a smooth convex function.

SciPy's implementation works in float64 and keeps twenty copies of the weights, which are many here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from stepscan.backends.batches import Array

_MEMORY = 6  # pairs of steps and gradient differences
_MAX_HALVINGS = 30  # of a step
_ARMIJO = 1e-4  # share of the decrease predicted by the slope that a step must reach


def minimise(
    function: Callable[[Array], tuple[float, Array]], start: Array, iterations: int, tolerance: float = 1e-4
) -> Array:
    """The point `[D]` at which a function is least.

    Args:
        function: point `[D]` → value and gradient `[D]`.
        start: the first point.
        iterations: maximum number of iterations.
        tolerance: iteration stops when the value decreases by less than this share of itself.
    """
    point = start
    value, gradient = function(point)
    memory: deque[tuple[Array, Array, float]] = deque(maxlen=_MEMORY)
    for _ in range(iterations):
        direction = _direction(gradient, memory)
        slope = float(gradient @ direction)
        if not slope < 0:
            break
        step_size = 1.0 if memory else min(1.0, 1 / float(np.abs(gradient).sum()))
        for _ in range(_MAX_HALVINGS):
            step = np.float32(step_size) * direction
            next_value, next_gradient = function(point + step)
            if next_value <= value + _ARMIJO * step_size * slope:
                break
            step_size /= 2
        else:
            break
        difference = next_gradient - gradient
        if (curvature := float(step @ difference)) > 0:
            memory.append((step, difference, curvature))
        decrease = value - next_value
        point, value, gradient = point + step, next_value, next_gradient
        if len(memory) > 2 and decrease <= tolerance * abs(value):
            break
    return point


def _direction(gradient: Array, memory: deque[tuple[Array, Array, float]]) -> Array:
    """Minus the gradient times the inverse Hessian, approximated from the last steps (the two-loop recursion)."""
    direction, coefficients = -gradient, []
    for step, difference, curvature in reversed(memory):
        coefficients.append(float(step @ direction) / curvature)
        direction -= np.float32(coefficients[-1]) * difference
    if memory:
        _, difference, curvature = memory[-1]
        direction *= np.float32(curvature / float(difference @ difference))
    for (step, difference, curvature), coefficient in zip(memory, reversed(coefficients), strict=True):
        direction += np.float32(coefficient - float(difference @ direction) / curvature) * step
    return direction
