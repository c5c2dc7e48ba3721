"""Plots as SVG text, made from numbers alone: no script, no network, colours that follow the page, light or dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from stepscan.inspection.frame import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, axes, text, wrap
from stepscan.inspection.pixels import data_uri, shaded

SERIES = 6  # colours there are: --c0 … --c5
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "1 4", "12 4")  # so that colour is not all that tells curves apart


class Curve(NamedTuple):
    """One line of a plot."""

    name: str
    x: np.ndarray  # [N]
    y: np.ndarray  # [N]; what is not finite is a gap
    low: np.ndarray | None = None  # [N], the lower and the upper edge of a band
    high: np.ndarray | None = None


def curves(
    lines: Sequence[Curve],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log: bool = True,
    marks: Mapping[str, float] | None = None,
    x_names: Sequence[str] = (),
) -> str:
    """Lines with bands over a common x; `marks` are heights with a name, drawn across.

    Args:
        x_names: what is written at x = 0, 1, … in place of numbers.
        log: whether y is logarithmic; it then ends eight decades below its top, and what is below is not drawn.

    Raises:
        ValueError: there is no line.
    """
    if not lines:
        raise ValueError("a plot needs at least one curve, got none")
    edges = [e for line in lines for e in (line.y, line.low, line.high) if e is not None]
    heights = np.concatenate([np.ravel(e) for e in edges] + [np.array(list((marks or {}).values()))])
    x = Axis.of(np.concatenate([line.x for line in lines]), LEFT, WIDTH - RIGHT)
    if x_names:
        x = Axis(-0.5, len(x_names) - 0.5, LEFT, WIDTH - RIGHT, names=tuple(x_names))
    y = Axis.of(heights, HEIGHT - BOTTOM, TOP, log=log)
    drawn = [_line(line, index, x, y) for index, line in enumerate(lines)]
    return wrap(title, axes(x, y, x_label, y_label) + _marks(marks or {}, y) + "".join(drawn))


def _marks(marks: Mapping[str, float], y: Axis) -> str:
    parts = []
    for name, height in marks.items():
        at = y.place(height)
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(text(WIDTH - RIGHT - 3, at - 4, name, "end", "note"))
    return "".join(parts)


def _line(line: Curve, index: int, x: Axis, y: Axis) -> str:
    colour, dash = f"var(--c{index % SERIES})", _DASHES[index % SERIES]
    bounded = line.low is not None and line.high is not None
    band = _band(line.x, line.low, line.high, x, y, colour) if bounded else ""  # type: ignore[arg-type]
    return band + "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dash}" points="{piece}"/>'
        for piece in _pieces(line.x, line.y, x, y)
    )


def swatch(index: int) -> str:
    """A short piece of the curve with this index, for a legend."""
    return (
        '<svg class="swatch" viewBox="0 0 28 8" width="28" height="8" aria-hidden="true">'
        f'<line x1="0" x2="28" y1="4" y2="4" stroke="var(--c{index % SERIES})" stroke-width="2.6" '
        f'stroke-dasharray="{_DASHES[index % SERIES]}"/></svg>'
    )


def histogram(shares: np.ndarray, *, title: str, x_label: str, edges: np.ndarray, colour: int = 0) -> str:
    """Bars: the share `[N]` (0 … 1) of values between each two of `edges [N + 1]`."""
    shares, edges = np.asarray(shares, dtype=float), np.asarray(edges, dtype=float)
    if edges.shape != (len(shares) + 1,):
        raise ValueError(f"{len(shares)} bars have {len(shares) + 1} edges, got {len(edges)}")
    x = Axis(float(edges[0]), float(edges[-1]), LEFT, WIDTH - RIGHT)
    y = Axis.of(np.array([0.0, max(float(shares.max(initial=0.0)), 1e-3)]), HEIGHT - BOTTOM, TOP)
    bars = "".join(
        f'<rect x="{x.place(a) + 0.6:.1f}" width="{max(0.5, x.place(b) - x.place(a) - 1.2):.1f}" '
        f'y="{y.place(share):.1f}" height="{y.place(0) - y.place(share):.1f}" fill="var(--c{colour % SERIES})"/>'
        for share, a, b in zip(shares, edges, edges[1:], strict=False)
    )
    return wrap(title, axes(x, y, x_label, "share") + bars)


def heat(
    values: np.ndarray,
    *,
    title: str,
    x_label: str,
    y_label: str,
    log: bool = False,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
) -> str:
    """A picture of `values [R, C]`, row 0 at the bottom, with a scale; NaN is empty.

    Args:
        log: values are shares; the scale goes from 1 down to 10⁻⁶. Otherwise it goes from −m to m, m the greatest, or
            from 0 if none is below.
        columns, rows: their names, in place of numbers.
    """
    most = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    strength = _decades(values) if log else values / most
    x = Axis(0.0, float(values.shape[1]), LEFT, WIDTH - RIGHT - 34, names=tuple(columns))
    y = Axis(0.0, float(values.shape[0]), HEIGHT - BOTTOM, TOP, names=tuple(rows))
    picture = (
        f'<image href="{data_uri(shaded(strength[::-1]))}" x="{LEFT}" y="{TOP}" width="{x.end - x.start}" '
        f'height="{HEIGHT - BOTTOM - TOP}" preserveAspectRatio="none" style="image-rendering:pixelated"/>'
    )
    signed = not log and float(np.nanmin(values, initial=0.0)) < 0
    ends = ("10⁻⁶", "1") if log else (f"−{most:.2g}" if signed else "0", f"{most:.2g}")
    return wrap(title, axes(x, y, x_label, y_label, grid=False) + picture + _scale(ends, -1.0 if signed else 0.0))


def _decades(values: np.ndarray) -> np.ndarray:
    """0 at 10⁻⁶ and below, 1 at 1 and above; NaN stays."""
    return np.clip(1 + np.log10(np.maximum(values, 1e-12)) / 6, 0, 1) * np.where(np.isnan(values), np.nan, 1.0)


def _scale(ends: tuple[str, str], least: float) -> str:
    left, height = WIDTH - RIGHT - 20, HEIGHT - BOTTOM - TOP
    ramp = np.linspace(1, least, 48)[:, None]
    return (
        f'<image href="{data_uri(shaded(ramp))}" x="{left}" y="{TOP + 16}" width="12" height="{height - 32}" '
        'preserveAspectRatio="none"/>'
        f'<rect class="frame" x="{left}" y="{TOP + 16}" width="12" height="{height - 32}"/>'
        + text(left + 6, TOP + 10, ends[1], "middle", "tick")
        + text(left + 6, TOP + height - 3, ends[0], "middle", "tick")
    )


def _band(along: np.ndarray, low: np.ndarray, high: np.ndarray, x: Axis, y: Axis, colour: str) -> str:
    seen = np.isfinite(low) & np.isfinite(high)
    there = [(x.place(a), y.place(b)) for a, b in zip(along[seen], high[seen], strict=True)]
    back = [(x.place(a), y.place(b)) for a, b in zip(along[seen], low[seen], strict=True)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*there, *back[::-1]])
    return f'<polygon fill="{colour}" fill-opacity="0.16" points="{points}"/>'


def _pieces(along: np.ndarray, heights: np.ndarray, x: Axis, y: Axis) -> list[str]:
    """The points of a line, cut where it leaves the plot or has no value."""
    pieces: list[list[str]] = [[]]
    for a, b in zip(along, heights, strict=True):
        if not math.isfinite(b) or (y.log and b < y.low):
            pieces.append([])
        else:
            pieces[-1].append(f"{x.place(a):.1f},{y.place(b):.1f}")
    return [" ".join(piece) for piece in pieces if piece]


def unrolled(
    inputs: Sequence[str],
    states: Sequence[str],
    outputs: Sequence[str],
    *,
    title: str,
) -> str:
    """The graph of a recurrence over time: x_t goes up into a box, the state goes on to the next, y_t leaves above.

    Args:
        inputs, outputs: T texts; states: T + 1 texts, the initial state first.
    """
    steps = len(inputs)
    if len(states) != steps + 1 or len(outputs) != steps:
        raise ValueError(
            f"{steps} inputs have {steps + 1} states and {steps} outputs, got {len(states)}, {len(outputs)}"
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
    return wrap(title, "".join(parts))


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    length = math.hypot(x2 - x1, y2 - y1) or 1.0
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    head = [(x2, y2), (x2 - 7 * dx + 4 * dy, y2 - 7 * dy - 4 * dx), (x2 - 7 * dx - 4 * dy, y2 - 7 * dy + 4 * dx)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in head)
    return (
        f'<line class="arrow" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        f'<polygon class="head" points="{points}"/>'
    )
