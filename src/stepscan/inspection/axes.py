"""Axes of plots: from values to coordinates, with ticks and labels; and the SVG around a plot."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stepscan.inspection.escaping import escape

WIDTH, HEIGHT = 460, 276  # of every plot, in SVG units; it is scaled to the available width
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 48  # margins
_FILE_SCALE = (
    2  # pixels per SVG unit of a plot in a file of its own: as wide as a page, with text larger than the page's
)
_MAX_DECADES = 8  # of a logarithmic axis
_MAX_NAMES, _MAX_LETTERS = 48, 6  # names along an axis, and letters of a name to the left of a plot
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

STYLE = """
svg .grid { stroke: var(--line); stroke-width: 1 } svg .frame { fill: none; stroke: var(--line) }
svg .mark { stroke: var(--soft); stroke-width: 1.4; stroke-dasharray: 3 3 }
svg text { fill: var(--ink); font: 14px system-ui, sans-serif } svg .tick { font-size: 13px; fill: var(--soft) }
svg .note { font-size: 13px; fill: var(--soft) } svg .item { font-size: 18px }
svg .box { fill: var(--panel); stroke: var(--ink); stroke-width: 1.5 }
svg .empty { fill: none; stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 4 4 }
svg .arrow { stroke: var(--ink); stroke-width: 1.5 } svg .head { fill: var(--ink) }
"""
LIGHT = """--paper: #fdfdfc; --panel: #f1f3f5; --ink: #1c2126; --soft: #5a646e; --line: #d9dee3; --link: #0b5cad;
--c0: #0072b2; --c1: #c94f00; --c2: #00805e; --c3: #a13c79; --c4: #8a6a00; --c5: #4a4fc4;"""
DARK = """--paper: #14181c; --panel: #1f262c; --ink: #e8ebee; --soft: #a5b0ba; --line: #37414a; --link: #7cc0ff;
--c0: #56b4e9; --c1: #ff9a4d; --c2: #35c99e; --c3: #e79ac8; --c4: #e6c84f; --c5: #a3a7ff;"""


class Axis(NamedTuple):
    """A linear or logarithmic scale from the values `low … high` to the coordinates `start … end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False  # whether ticks are at whole numbers only
    names: tuple[str, ...] = ()  # tick labels in place of numbers, at low + 0.5, low + 1.5, …

    @classmethod
    def of(cls, values: np.ndarray, start: float, end: float, *, log: bool = False) -> Axis:
        """An axis that spans the finite `values`; a vertical one (`start > end`) is extended to round numbers."""
        finite = np.asarray(values, dtype=float)
        finite = finite[np.isfinite(finite) & ((finite > 0) | (not log))]
        if not len(finite):
            return cls(0.1 if log else 0.0, 1.0, start, end, log)
        low, high = float(finite.min()), float(finite.max())
        if log:
            top = math.ceil(math.log10(high) - 1e-3)
            bottom = max(math.floor(math.log10(low) + 1e-3), top - _MAX_DECADES)
            return cls(10.0 ** min(bottom, top - 1), 10.0**top, start, end, True)
        whole = start < end and bool((finite == np.round(finite)).all())  # a horizontal axis of items, steps or lags
        if high == low:
            low, high = low - 0.5, high + 0.5
        if start > end:
            step = _round_step(high - low)
            low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
        return cls(low, high, start, end, whole=whole)

    def coordinate(self, value: float) -> float:
        """The coordinate of a value; values outside the axis are clamped to its ends."""
        low, high = self.low, self.high
        value = min(max(value, low), high)
        fraction = math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)
        return self.start + fraction * (self.end - self.start)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Values with their labels: round numbers, or the names."""
        if self.names:
            room = int(abs(self.end - self.start) / len(self.names) / 7) if self.end > self.start else _MAX_LETTERS
            stride = math.ceil(len(self.names) / _MAX_NAMES)
            indices = range(0, len(self.names), stride)
            return [(self.low + i + 0.5, _shortened(self.names[i], max(1, room))) for i in indices]
        if self.log:
            bottom, top = round(math.log10(self.low)), round(math.log10(self.high))
            stride = max(1, math.ceil((top - bottom) / 5))
            return [(10.0**d, _power(d)) for d in range(top, bottom - 1, -stride)]
        step = max(_round_step(self.high - self.low), 1.0 if self.whole else 0.0)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(i * step, f"{i * step:.6g}".replace("-", "−")) for i in range(first, last + 1)]


def _shortened(name: str, room: int) -> str:
    return name if len(name) <= room else name[: max(1, room - 1)] + "…" * (room > 1)


def _round_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, about a fifth of `span`."""
    unit = 10.0 ** math.floor(math.log10(span / 5))
    return next(unit * m for m in (1, 2, 5, 10) if span / (unit * m) <= 6)


def _power(decade: int) -> str:
    return {0: "1", -1: "0.1", -2: "0.01", 1: "10", 2: "100"}.get(decade, "10" + superscript(decade))


def superscript(number: int) -> str:
    """An integer as superscript digits, for an exponent."""
    return str(number).translate(_SUPERSCRIPTS)


def draw_axes(x: Axis, y: Axis, x_label: str, y_label: str, *, grid: bool = True) -> str:
    """Ticks and labels as SVG, with horizontal grid lines if `grid`."""
    right, bottom = x.end, y.start
    parts = []
    for value, label in y.ticks:
        height = y.coordinate(value)
        if grid:
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{right:.1f}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(text(LEFT - 6, height + 4, label, "end", "tick"))
    for value, label in x.ticks:
        across = x.coordinate(value)
        parts.append(f'<line class="grid" x1="{across:.1f}" x2="{across:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(text(across, bottom + 19, label, "middle", "tick"))
    parts.append(text((LEFT + right) / 2, HEIGHT - 8, x_label, "middle"))
    middle = (y.end + bottom) / 2
    parts.append(
        f'<text x="15" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 15 {middle:.1f})">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    """A text element at (x, y); `anchor` is `start`, `middle` or `end`, `kind` a class of `STYLE`."""
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{attribute}>{escape(words)}</text>'


def svg(title: str, elements: str) -> str:
    """The SVG document around the elements of a plot; `title` describes it to screen readers."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="plot">'
        f"<title>{escape(title)}</title>{elements}</svg>"
    )


def write_svg(plot: str, path: str | Path) -> None:
    """Write one plot as a file of its own, on a white background, large enough for a projector.

    Raises:
        OSError: `path` cannot be written.
    """
    style = f'<style>svg {{ {LIGHT} }}{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    size = f'width="{_FILE_SCALE * WIDTH}" height="{_FILE_SCALE * HEIGHT}"'
    sized = plot.replace("<svg ", f"<svg {size} ", 1)
    Path(path).write_text(sized.replace("</title>", f"</title>{style}", 1) + "\n", encoding="utf-8")
