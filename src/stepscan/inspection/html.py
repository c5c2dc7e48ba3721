"""The page: one self-contained HTML file, light or dark as the reader's system is set, for narrow and wide windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stepscan.inspection.axes import DARK, LIGHT, STYLE, superscript
from stepscan.inspection.escaping import escape
from stepscan.inspection.plots import swatch

GENERATOR = "Made by stepscan inspect."  # marks a file as a report
_CSS = f"""
:root {{ color-scheme: light dark; {LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
{STYLE}
* {{ box-sizing: border-box }}
body {{ margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }}
main {{ max-width: 68rem; margin: 0 auto; padding: 1rem 1rem 4rem }}
h1 {{ font-size: 1.6rem; line-height: 1.2; margin: 1rem 0 .5rem }}
h3 {{ font-size: 1rem; margin: 1.2rem 0 .25rem }}
h2 {{ font-size: 1.2rem; margin: 2.5rem 0 .25rem; border-top: 1px solid var(--line); padding-top: 1rem }}
p {{ max-width: 46rem; margin: .5rem 0 }}
.summary {{ font-size: 1.1rem }}
.figure {{ display: grid; grid-template-columns: minmax(0, 30rem) minmax(0, 1fr); gap: .5rem 2rem; margin: 1rem 0 2rem;
  align-items: start }}
.figure figcaption {{ grid-column: 1 / -1; font-weight: 600 }}
@media (max-width: 52rem) {{ .figure {{ grid-template-columns: minmax(0, 1fr) }} }}
.plot {{ display: block; width: 100%; max-width: 30rem; height: auto }}
.legend {{ display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; margin: .25rem 0; padding: 0; list-style: none;
  font-size: .9rem }}
.legend li {{ display: flex; align-items: center; gap: .45rem }}
.table {{ overflow-x: auto; max-width: 100% }}
table {{ border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }}
th, td {{ padding: .2rem .7rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }}
th {{ font-weight: 600; color: var(--soft); white-space: normal; vertical-align: bottom }}
th:first-child, td:first-child {{ text-align: left }}
.text {{ font: 15px/1.75 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0;
  padding: .6rem .8rem; background: var(--panel); border-radius: 6px }}
.text span {{ border-radius: 2px }}
footer, .about {{ color: var(--soft); font-size: .9rem }} footer {{ margin-top: 3rem }}
"""


class Section(NamedTuple):
    """A heading with its content."""

    title: str
    words: str  # plain text; empty for none
    blocks: Sequence[str]  # HTML; a section without blocks is not shown


def page(title: str, summary: str, about: str, sections: Sequence[Section]) -> str:
    """The whole HTML file.

    Args:
        title: heading and window title.
        summary: the first paragraph, plain text.
        about: what is inspected and with which settings, plain text.
        sections: the rest.
    """
    body = "".join(
        f"<section><h2>{escape(section.title)}</h2>{paragraph(section.words)}{''.join(section.blocks)}</section>"
        for section in sections
        if section.blocks
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head>\n"
        f'<body><main><h1>{escape(title)}</h1><p class="summary">{escape(summary)}</p>'
        f'<p class="about">{escape(about)}</p>{body}'
        f"<footer><p>{GENERATOR} This file is self-contained.</p></footer>"
        "</main></body></html>\n"
    )


def paragraph(words: str) -> str:
    """Plain text as a paragraph; empty for no text."""
    return f"<p>{escape(words)}</p>" if words else ""


def figure(caption: str, plot: str, side: str, names: Sequence[str] = ()) -> str:
    """A plot with a caption, and what is shown next to it.

    Args:
        caption: plain text.
        plot: SVG.
        side: HTML next to the plot, such as a table.
        names: the legend, a name per curve; empty for none.
    """
    entries = "".join(f"<li>{swatch(i)} {escape(name)}</li>" for i, name in enumerate(names))
    legend = f'<ul class="legend">{entries}</ul>' if names else ""
    return (
        f'<figure class="figure" style="margin-inline:0"><figcaption>{escape(caption)}</figcaption>'
        f"<div>{plot}{legend}</div><div>{side}</div></figure>"
    )


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows of numbers and words as an HTML table, written as by `written`."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(written(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def written(value: object) -> str:
    """A value as the page shows it: numbers with three significant digits, `–` for NaN."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return str(value)
    if isinstance(value, int | np.integer):
        return f"{value:,}".replace("-", "−")
    number = float(value)
    if math.isnan(number):
        return "–"
    if math.isinf(number):
        return "∞"
    short = f"{number:.3g}" if 1e-3 <= abs(number) < 1e4 or number == 0 else f"{number:.1e}"
    mantissa, _, power = short.partition("e")
    return mantissa.replace("-", "−") + (f"·10{superscript(int(power))}" if power else "")


def coloured_text(tokens: Sequence[str], values: np.ndarray, *, separator: str = "") -> str:
    """Text whose background is orange for positive values and blue for negative ones.

    Args:
        tokens: N texts.
        values: `[N]`, −1 … 1; NaN counts as 0.
        separator: HTML between two tokens.
    """
    spans = []
    for token, value in zip(tokens, np.nan_to_num(np.asarray(values, dtype=float)), strict=True):
        colour = "214,84,0" if value >= 0 else "0,112,190"
        shown = escape(token.replace("\n", "↵\n"))
        style = f"background:rgba({colour},{min(abs(value), 1) * 0.75:.2f})"
        spans.append(f'<span style="{style}" title="{value:.2f}">{shown}</span>')
    return f'<div class="text">{separator.join(spans)}</div>'
