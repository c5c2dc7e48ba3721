"""Diagrams of sequences and recurrences as SVG text: boxes with what is in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stepscan.inspection.axes import HEIGHT, TOP, WIDTH, svg, text

_BOX = 38  # side of a step's box
_START = 58  # left of the first box: the arrow of the initial state


def padded(rows: Sequence[Sequence[str]], *, title: str) -> str:
    """A batch of rows of different lengths: a box for each item, a dashed one where there is padding, the lengths.

    Args:
        rows: the labels of each row's items; at least one row.
        title: describes the diagram to screen readers.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("expected at least one row, got none")
    steps, left, above = max(1, *(len(row) for row in rows)), 16, TOP + 26
    wide = (WIDTH - left - 92) / steps
    high = (HEIGHT - above - 30) / len(rows)
    heading = TOP + 11
    parts = [text(left + (t + 0.5) * wide, heading, str(t + 1), "middle", "tick") for t in range(steps)]
    parts.append(text(left + steps * wide + 16, heading, "length"))
    for index, row in enumerate(rows):
        top = above + index * high
        for t in range(steps):
            kind = "box" if t < len(row) else "empty"
            place = f'x="{left + t * wide + 2:.1f}" y="{top + 2:.1f}" width="{wide - 4:.1f}" height="{high - 4:.1f}"'
            parts.append(f'<rect class="{kind}" {place} rx="4"/>')
            if t < len(row):
                parts.append(text(left + (t + 0.5) * wide, top + high / 2 + 6, row[t], "middle", "item"))
        parts.append(text(left + steps * wide + 38, top + high / 2 + 6, str(len(row)), "middle", "item"))
    parts.append(text(left + steps * wide / 2, HEIGHT - 8, "step", "middle"))
    return svg(title, "".join(parts))


def unrolled(
    inputs: Sequence[str],
    states: Sequence[str],
    outputs: Sequence[str],
    *,
    title: str,
) -> str:
    """The unrolled graph of a recurrence: a box per step, with x_t from below, y_t above and the state to the right.

    Args:
        inputs, outputs: T labels.
        states: T + 1 labels, the initial state first.
        title: describes the graph to screen readers.

    Raises:
        ValueError: the numbers of labels do not fit together.
    """
    steps = len(inputs)
    if len(states) != steps + 1 or len(outputs) != steps:
        raise ValueError(
            f"expected {steps + 1} states and {steps} outputs for {steps} inputs, got {len(states)} and {len(outputs)}"
        )
    gap = (WIDTH - _START - _BOX - 8) / max(steps - 1, 1)
    centre, half = HEIGHT / 2, _BOX / 2
    low, high = HEIGHT - 24, 30.0  # baselines of x and y
    parts = [text(4, low, "x"), text(4, high, "y"), text(4, centre - 36, "state")]
    parts.append(text(_START / 2, centre - 9, states[0], "middle", "tick"))
    for t in range(steps):
        left = _START + t * gap
        middle = left + half
        parts += [
            f'<rect class="box" x="{left:.1f}" y="{centre - half:.1f}" width="{_BOX}" height="{_BOX}" rx="5"/>',
            text(middle, centre + 6, "R", "middle", "item"),
            _arrow(middle, low - 20, middle, centre + half + 2) + text(middle, low, inputs[t], "middle"),
            _arrow(middle, centre - half - 2, middle, high + 9) + text(middle, high, outputs[t], "middle"),
            _arrow(left - gap + _BOX + 2 if t else 6, centre, left - 2, centre),
        ]
        if t < steps - 1:
            parts.append(text(left + (gap + _BOX) / 2, centre - 9, states[t + 1], "middle", "tick"))
    return svg(title, "".join(parts))


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    length = math.hypot(x2 - x1, y2 - y1) or 1.0
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    head = [(x2, y2), (x2 - 7 * dx + 4 * dy, y2 - 7 * dy - 4 * dx), (x2 - 7 * dx - 4 * dy, y2 - 7 * dy + 4 * dx)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in head)
    return (
        f'<line class="arrow" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        f'<polygon class="head" points="{points}"/>'
    )
