"""Whatever a text holds, a page and a plot with it are documents that an XML parser reads."""

from __future__ import annotations

from xml.dom import minidom

import numpy as np
import pytest

from stepscan.inspection.axes import svg, text
from stepscan.inspection.escaping import escape
from stepscan.inspection.html import Section, coloured_text, page, table

HOSTILE = [
    *map(chr, range(32)),
    "\x7f",
    "\x85",
    "\x9b31m",
    "\ud800",
    "\ufdd0",
    "\ufffe",
    "\uffff",
    "\x1b[31m",
    "<b>&'\"",
    "a\nb",
    "İ 苹果 🍎",
]


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_xml_holds_it(words):
    drawn = svg(words, text(0, 0, words))
    said = minidom.parseString(drawn).getElementsByTagName("text")[0].firstChild.data
    assert minidom.parseString(f"<p>{escape(words)}</p>").documentElement.firstChild.data == said
    assert "\x1b" not in said
    section = Section(words, words, [coloured_text([words], np.zeros(1)), table([words], [[words]]), drawn])
    html = page(words, words, words, [section])
    body = html[html.index("<body") : html.index("</body>") + len("</body>")]
    assert minidom.parseString(body.encode("utf-8"))


def test_what_is_shown():
    assert escape("a\x1b[31mb\n\ufffe<\x7f") == "a␛[31mb\n\ufffd&lt;␡"
