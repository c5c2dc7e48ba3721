"""What a notebook shows of a report."""

from __future__ import annotations

import html
import re

from stepscan import inspection
from stepscan.inspection.report import as_html


def test_a_report_is_its_page():
    report = inspection.report(inspection.InspectionTarget.from_cells(["elman"], length=10, hidden_size=4))
    [frame] = re.findall(r'<iframe srcdoc="([^"]*)"', report._repr_html_())
    assert html.unescape(frame) == as_html(report)
