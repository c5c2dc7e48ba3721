"""Plots as SVG text, made from numbers alone: no script, no network; colours follow the page, light or dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stepscan.inspection.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, draw_axes, svg, text
from stepscan.inspection.png import data_uri, rgba

COLOURS = 6  # of curves: --c0 … --c5
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "1 4", "12 4")  # so that curves differ by more than colour


class Curve(NamedTuple):
    """One curve of a line plot."""

    name: str
    x: np.ndarray  # [N]
    y: np.ndarray  # [N]; values that are not finite leave a gap
    low: np.ndarray | None = None  # [N], lower edge of a band; None for no band
    high: np.ndarray | None = None  # [N], upper edge


def line_plot(
    curves: Sequence[Curve],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log: bool = True,
    levels: Mapping[str, float] | None = None,
    x_names: Sequence[str] = (),
) -> str:
    """Curves with bands over a common x axis.

    Args:
        curves: at least one.
        title: describes the plot to screen readers.
        x_label, y_label: of the axes.
        log: whether the y axis is logarithmic; it then spans at most eight decades, and what is below is not drawn.
        levels: horizontal lines, each a label and its y.
        x_names: tick labels at x = 0, 1, … in place of numbers.

    Raises:
        ValueError: there is no curve.
    """
    if not curves:
        raise ValueError("expected at least one curve, got none")
    edges = [values for curve in curves for values in (curve.y, curve.low, curve.high) if values is not None]
    heights = np.concatenate([np.ravel(values) for values in edges] + [np.array(list((levels or {}).values()))])
    x = Axis.of(np.concatenate([curve.x for curve in curves]), LEFT, WIDTH - RIGHT)
    if x_names:
        x = Axis(-0.5, len(x_names) - 0.5, LEFT, WIDTH - RIGHT, names=tuple(x_names))
    y = Axis.of(heights, HEIGHT - BOTTOM, TOP, log=log)
    drawn = "".join(_curve(curve, index, x, y) for index, curve in enumerate(curves))
    return svg(title, draw_axes(x, y, x_label, y_label) + _levels(levels or {}, y) + drawn)


def _levels(levels: Mapping[str, float], y: Axis) -> str:
    parts = []
    for label, value in levels.items():
        height = y.coordinate(value)
        line = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"'
        parts.append(f'<line class="mark" {line}/>')
        parts.append(text(WIDTH - RIGHT - 3, height - 4, label, "end", "note"))
    return "".join(parts)


def _curve(curve: Curve, index: int, x: Axis, y: Axis) -> str:
    colour, dash = f"var(--c{index % COLOURS})", _DASHES[index % COLOURS]
    has_band = curve.low is not None and curve.high is not None
    band = _band(curve.x, curve.low, curve.high, x, y, colour) if has_band else ""  # type: ignore[arg-type]
    return band + "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dash}" points="{points}"/>'
        for points in _pieces(curve.x, curve.y, x, y)
    )


def swatch(index: int) -> str:
    """A short piece of the curve with this index, for a legend."""
    return (
        '<svg class="swatch" viewBox="0 0 28 8" width="28" height="8" aria-hidden="true">'
        f'<line x1="0" x2="28" y1="4" y2="4" stroke="var(--c{index % COLOURS})" stroke-width="2.6" '
        f'stroke-dasharray="{_DASHES[index % COLOURS]}"/></svg>'
    )


def histogram(fractions: np.ndarray, *, title: str, x_label: str, edges: np.ndarray, colour: int = 0) -> str:
    """A histogram.

    Args:
        fractions: `[N]`, 0 … 1, of the values in each bin.
        title: describes the plot to screen readers.
        x_label: of the x axis.
        edges: `[N + 1]`, of the bins.
        colour: index of the bars' colour.

    Raises:
        ValueError: the number of edges does not fit.
    """
    fractions, edges = np.asarray(fractions, dtype=float), np.asarray(edges, dtype=float)
    if edges.shape != (len(fractions) + 1,):
        raise ValueError(f"expected {len(fractions) + 1} edges for {len(fractions)} bars, got {len(edges)}")
    x = Axis(float(edges[0]), float(edges[-1]), LEFT, WIDTH - RIGHT)
    y = Axis.of(np.array([0.0, max(float(fractions.max(initial=0.0)), 1e-3)]), HEIGHT - BOTTOM, TOP)
    bars = "".join(
        f'<rect x="{left + 0.6:.1f}" width="{max(0.5, right - left - 1.2):.1f}" y="{y.coordinate(fraction):.1f}" '
        f'height="{y.coordinate(0) - y.coordinate(fraction):.1f}" fill="var(--c{colour % COLOURS})"/>'
        for fraction, left, right in zip(
            fractions, map(x.coordinate, edges), map(x.coordinate, edges[1:]), strict=False
        )
    )
    return svg(title, draw_axes(x, y, x_label, "fraction") + bars)


def heatmap(
    values: np.ndarray,
    *,
    title: str,
    x_label: str,
    y_label: str,
    log: bool = False,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
) -> str:
    """A heat map with a colour scale.

    Args:
        values: `[R, C]`, row 0 at the bottom; NaN is empty.
        title: describes the plot to screen readers.
        x_label, y_label: of the axes.
        log: whether the scale is logarithmic, from 1 down to 10⁻⁶. Otherwise it is linear, from −m to m with the
            largest magnitude m, or from 0 if no value is negative.
        columns, rows: tick labels in place of numbers.
    """
    largest = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    strength = _log_strength(values) if log else values / largest
    x = Axis(0.0, float(values.shape[1]), LEFT, WIDTH - RIGHT - 34, names=tuple(columns))
    y = Axis(0.0, float(values.shape[0]), HEIGHT - BOTTOM, TOP, names=tuple(rows))
    image = (
        f'<image href="{data_uri(rgba(strength[::-1]))}" x="{LEFT}" y="{TOP}" width="{x.end - x.start}" '
        f'height="{HEIGHT - BOTTOM - TOP}" preserveAspectRatio="none" style="image-rendering:pixelated"/>'
    )
    is_signed = not log and float(np.nanmin(values, initial=0.0)) < 0
    labels = ("10⁻⁶", "1") if log else (f"−{largest:.2g}" if is_signed else "0", f"{largest:.2g}")
    scale = _colour_scale(labels, -1.0 if is_signed else 0.0)
    return svg(title, draw_axes(x, y, x_label, y_label, grid=False) + image + scale)


def _log_strength(values: np.ndarray) -> np.ndarray:
    """0 at 10⁻⁶ and below, 1 at 1 and above, linear in the logarithm between; NaN stays NaN."""
    return np.clip(1 + np.log10(np.maximum(values, 1e-12)) / 6, 0, 1) * np.where(np.isnan(values), np.nan, 1.0)


def _colour_scale(labels: tuple[str, str], lowest: float) -> str:
    left, height = WIDTH - RIGHT - 20, HEIGHT - BOTTOM - TOP
    ramp = np.linspace(1, lowest, 48)[:, None]
    return (
        f'<image href="{data_uri(rgba(ramp))}" x="{left}" y="{TOP + 16}" width="12" height="{height - 32}" '
        'preserveAspectRatio="none"/>'
        f'<rect class="frame" x="{left}" y="{TOP + 16}" width="12" height="{height - 32}"/>'
        + text(left + 6, TOP + 10, labels[1], "middle", "tick")
        + text(left + 6, TOP + height - 3, labels[0], "middle", "tick")
    )


def _band(along: np.ndarray, low: np.ndarray, high: np.ndarray, x: Axis, y: Axis, colour: str) -> str:
    finite = np.isfinite(low) & np.isfinite(high)
    upper = [(x.coordinate(a), y.coordinate(b)) for a, b in zip(along[finite], high[finite], strict=True)]
    lower = [(x.coordinate(a), y.coordinate(b)) for a, b in zip(along[finite], low[finite], strict=True)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*upper, *lower[::-1]])
    return f'<polygon fill="{colour}" fill-opacity="0.16" points="{points}"/>'


def _pieces(along: np.ndarray, heights: np.ndarray, x: Axis, y: Axis) -> list[str]:
    """The points of a curve, split where it leaves the plot or has no value."""
    pieces: list[list[str]] = [[]]
    for a, b in zip(along, heights, strict=True):
        if not math.isfinite(b) or (y.log and b < y.low):
            pieces.append([])
        else:
            pieces[-1].append(f"{x.coordinate(a):.1f},{y.coordinate(b):.1f}")
    return [" ".join(piece) for piece in pieces if piece]


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
    gap = (WIDTH - 70) / max(steps, 1)
    parts = [text(4, 222, "x") + text(4, 66, "y") + text(4, 102, "state") + text(34, 132, states[0], "middle", "small")]
    for t in range(steps):
        left = 66 + t * gap
        middle = left + 17
        parts += [
            f'<rect class="box" x="{left:.1f}" y="123" width="34" height="34" rx="5"/>',
            text(middle, 145, "R", "middle"),
            _arrow(middle, 205, middle, 159) + text(middle, 222, inputs[t], "middle", "tick"),
            _arrow(middle, 121, middle, 75) + text(middle, 66, outputs[t], "middle", "tick"),
            _arrow(left - gap + 36 if t else 6, 140, left - 2, 140),
        ]
        if t < steps - 1:
            parts.append(text(left + 34 + (gap - 34) / 2, 132, states[t + 1], "middle", "small"))
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
