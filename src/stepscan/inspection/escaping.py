"""Text inside HTML and SVG: markup is escaped, and what XML cannot hold is shown as a visible sign."""

from __future__ import annotations

import html
import re

_SIGNS = {code: chr(0x2400 + code) for code in range(32) if chr(code) != "\n"} | {0x7F: "␡"}  # ␀ … ␟
_FORBIDDEN = re.compile("[\x80-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")  # C1 controls, surrogates, noncharacters


def escape(text: str) -> str:
    """The text as part of an HTML or XML document; a line feed stays one."""
    return html.escape(_FORBIDDEN.sub("\ufffd", text.translate(_SIGNS)))
