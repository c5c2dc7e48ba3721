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
_MOST_MARKED = 30  # points of a curve that has a marker at each
_ROW, _SWATCH, _GAP = 22, 32, 18  # of a legend: height of a row, width of a swatch, space between entries
_LETTER = 7.6  # width of a letter at most, on average over a word


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
    legend: bool = False,
) -> str:
    """Curves with bands over a common x axis; isolated points have markers, and all of a curve of at most 30.

    Args:
        curves: at least one.
        title: describes the plot to screen readers.
        x_label, y_label: of the axes.
        log: whether the y axis is logarithmic; it then spans at most eight decades, and what is below is not drawn.
        levels: horizontal lines, each a label and its y.
        x_names: tick labels at x = 0, 1, … in place of numbers.
        legend: whether the names of the curves are written above them.

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
    names, top = _legend(curves) if legend else ("", TOP)
    y = Axis.of(heights, HEIGHT - BOTTOM, top, log=log)
    drawn = "".join(_curve(curve, index, x, y) for index, curve in enumerate(curves))
    return svg(title, names + draw_axes(x, y, x_label, y_label) + _levels(levels or {}, y) + drawn)


def _legend(curves: Sequence[Curve]) -> tuple[str, float]:
    """The curves' names with a piece of each, in rows at the top, and where the plot begins below them."""
    parts, left, row = [], float(LEFT), 0
    for index, curve in enumerate(curves):
        width = _SWATCH + 7 + _LETTER * len(curve.name)
        if left > LEFT and left + width > WIDTH:
            left, row = float(LEFT), row + 1
        middle = TOP + (row + 0.5) * _ROW - 4
        known = np.isfinite(curve.y)
        is_line = bool((known[1:] & known[:-1]).any())  # not points alone
        if is_line:
            parts.append(_line(index, f"{left:.1f},{middle:.1f} {left + _SWATCH:.1f},{middle:.1f}"))
        if _is_short(curve) or not is_line:
            parts.append(_marker(index, left + _SWATCH / 2, middle))
        parts.append(text(left + _SWATCH + 7, middle + 5, curve.name))
        left += width + _GAP
    return "".join(parts), TOP + (row + 1) * _ROW + 4


def _levels(levels: Mapping[str, float], y: Axis) -> str:
    parts = []
    for label, value in levels.items():
        height = y.coordinate(value)
        line = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height:.1f}" y2="{height:.1f}"'
        parts.append(f'<line class="mark" {line}/>')
        parts.append(text(WIDTH - RIGHT - 3, height - 4, label, "end", "note"))
    return "".join(parts)


def _curve(curve: Curve, index: int, x: Axis, y: Axis) -> str:
    has_band = curve.low is not None and curve.high is not None
    band = _band(curve.x, curve.low, curve.high, x, y, _colour(index)) if has_band else ""  # type: ignore[arg-type]
    pieces = _pieces(curve.x, curve.y, x, y)
    lines = "".join(_line(index, points) for points in pieces if " " in points)
    marked = [point for points in pieces if _is_short(curve) or " " not in points for point in points.split()]
    return band + lines + "".join(_marker(index, *map(float, point.split(","))) for point in marked)


def _colour(index: int) -> str:
    return f"var(--c{index % COLOURS})"


def _line(index: int, points: str) -> str:
    dash = _DASHES[index % COLOURS]
    return (
        f'<polyline fill="none" stroke="{_colour(index)}" stroke-width="2.4" stroke-dasharray="{dash}" '
        f'points="{points}"/>'
    )


def _is_short(curve: Curve) -> bool:
    return len(curve.y) <= _MOST_MARKED


def _marker(index: int, x: float, y: float) -> str:
    """A circle, a square or a triangle."""
    colour, shape = _colour(index), index % 3
    if shape == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="{colour}"/>'
    if shape == 1:
        return f'<rect x="{x - 3.4:.1f}" y="{y - 3.4:.1f}" width="6.8" height="6.8" fill="{colour}"/>'
    return f'<path d="M{x:.1f} {y - 4.8:.1f}l4.6 8.2h-9.2z" fill="{colour}"/>'


def swatch(index: int) -> str:
    """A short piece of the curve with this index, for a legend."""
    return (
        '<svg class="swatch" viewBox="0 0 28 8" width="28" height="8" aria-hidden="true">'
        f'<line x1="0" x2="28" y1="4" y2="4" stroke="{_colour(index)}" stroke-width="2.6" '
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
        f'height="{y.coordinate(0) - y.coordinate(fraction):.1f}" fill="{_colour(colour)}"/>'
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
