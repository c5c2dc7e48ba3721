"""Axes: where a number stands in a plot, and the ticks and labels around it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stepscan.inspection.escaping import escape

WIDTH, HEIGHT = 420, 280  # of every plot; it is scaled to the width there is
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 44
_DECADES = 8  # that a logarithmic axis shows at most
_NAMES, _LETTERS = 48, 6  # names along an axis at most, and letters of one that stands left of a plot
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

STYLE = """
svg .grid { stroke: var(--line); stroke-width: 1 } svg .frame { fill: none; stroke: var(--line) }
svg .mark { stroke: var(--soft); stroke-width: 1.2; stroke-dasharray: 3 3 }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif } svg .tick { font-size: 12px; fill: var(--soft) }
svg .note { font-size: 12px; fill: var(--soft) } svg .small { font-size: 10.5px; fill: var(--soft) }
svg .box { fill: var(--panel); stroke: var(--ink); stroke-width: 1.3 }
svg .arrow { stroke: var(--ink); stroke-width: 1.3 } svg .head { fill: var(--ink) }
"""
LIGHT = """--paper: #fdfdfc; --panel: #f1f3f5; --ink: #1c2126; --soft: #5a646e; --line: #d9dee3; --link: #0b5cad;
--c0: #0072b2; --c1: #c94f00; --c2: #00805e; --c3: #a13c79; --c4: #8a6a00; --c5: #4a4fc4;"""
DARK = """--paper: #14181c; --panel: #1f262c; --ink: #e8ebee; --soft: #a5b0ba; --line: #37414a; --link: #7cc0ff;
--c0: #56b4e9; --c1: #ff9a4d; --c2: #35c99e; --c3: #e79ac8; --c4: #e6c84f; --c5: #a3a7ff;"""


class Axis(NamedTuple):
    """Numbers `low … high` that lie between the places `start … end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False  # whether only whole numbers are ticks
    names: tuple[str, ...] = ()  # what is written in place of numbers, at low + 0.5, low + 1.5, …

    @classmethod
    def of(cls, values: np.ndarray, start: float, end: float, *, log: bool = False) -> Axis:
        """An axis that holds the finite ones of `values`, wide enough to end at round numbers."""
        seen = np.asarray(values, dtype=float)
        seen = seen[np.isfinite(seen) & ((seen > 0) | (not log))]
        if not len(seen):
            return cls(0.1 if log else 0.0, 1.0, start, end, log)
        low, high = float(seen.min()), float(seen.max())
        if log:
            top = math.ceil(math.log10(high) - 1e-3)
            bottom = max(math.floor(math.log10(low) + 1e-3), top - _DECADES)
            return cls(10.0 ** min(bottom, top - 1), 10.0**top, start, end, True)
        whole = start < end and bool((seen == np.round(seen)).all())  # along: items, steps, lags
        if high == low:
            low, high = low - 0.5, high + 0.5
        if start > end:  # upright
            step = _round_step(high - low)
            low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
        return cls(low, high, start, end, whole=whole)

    def place(self, value: float) -> float:
        """Where `value` stands; what lies outside stands at the edge."""
        low, high = self.low, self.high
        value = min(max(value, low), high)
        share = math.log(value / low) / math.log(high / low) if self.log else (value - low) / (high - low)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers along the axis, as they are written; or the names."""
        if self.names:
            room = int(abs(self.end - self.start) / len(self.names) / 7) if self.end > self.start else _LETTERS
            stride = math.ceil(len(self.names) / _NAMES)
            places = range(0, len(self.names), stride)
            return [(self.low + i + 0.5, _cut(self.names[i], max(1, room))) for i in places]
        if self.log:
            bottom, top = round(math.log10(self.low)), round(math.log10(self.high))
            stride = max(1, math.ceil((top - bottom) / 5))
            return [(10.0**d, _power(d)) for d in range(top, bottom - 1, -stride)]
        step = max(_round_step(self.high - self.low), 1.0 if self.whole else 0.0)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(i * step, f"{i * step:.6g}".replace("-", "−")) for i in range(first, last + 1)]


def _cut(name: str, room: int) -> str:
    return name if len(name) <= room else name[: max(1, room - 1)] + "…" * (room > 1)


def _round_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, about a fifth of `span`."""
    unit = 10.0 ** math.floor(math.log10(span / 5))
    return next(unit * m for m in (1, 2, 5, 10) if span / (unit * m) <= 6)


def _power(decade: int) -> str:
    return {0: "1", -1: "0.1", -2: "0.01", 1: "10", 2: "100"}.get(decade, "10" + superscript(decade))


def superscript(number: int) -> str:
    """Raised digits, as of an exponent."""
    return str(number).translate(_SUPERSCRIPTS)


def axes(x: Axis, y: Axis, x_label: str, y_label: str, *, grid: bool = True) -> str:
    """Ticks and labels, and lines across if there is to be a grid."""
    right, bottom = x.end, y.start
    parts = []
    for value, words in y.ticks:
        at = y.place(value)
        if grid:
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{right:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(text(LEFT - 6, at + 4, words, "end", "tick"))
    for value, words in x.ticks:
        at = x.place(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(text(at, bottom + 18, words, "middle", "tick"))
    parts.append(text((LEFT + right) / 2, HEIGHT - 7, x_label, "middle"))
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text x="14" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 14 {middle:.1f})">'
        f"{escape(y_label)}</text>"
    )
    return "".join(parts)


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    """Words at a place."""
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{of_kind}>{escape(words)}</text>'


def wrap(title: str, drawn: str) -> str:
    """The picture around what was drawn; `title` is what a reader that sees no pictures reads."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="plot">'
        f"<title>{escape(title)}</title>{drawn}</svg>"
    )


def write_svg(svg: str, path: str | Path) -> None:
    """One plot as a file of its own, on white paper.

    Raises:
        OSError: `path` cannot be written.
    """
    style = f'<style>svg {{ {LIGHT} }}{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    sized = svg.replace("<svg ", f'<svg width="{WIDTH}" height="{HEIGHT}" ', 1)
    Path(path).write_text(sized.replace("</title>", f"</title>{style}", 1) + "\n", encoding="utf-8")
