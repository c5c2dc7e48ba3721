"""Escaping of text for HTML and SVG: markup, and characters that XML does not allow, which become visible symbols."""

from __future__ import annotations

import html
import re

_SYMBOLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) != "\n"} | {0x7F: "␡"}  # ␀ … ␟
_FORBIDDEN = re.compile("[\x80-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")  # C1 controls, surrogates, noncharacters


def escape(text: str) -> str:
    """The text as part of an HTML or XML document. Line feeds are kept; other control characters become ␀ … ␡."""
    return html.escape(_FORBIDDEN.sub("\ufffd", text.translate(_SYMBOLS)))
