"""The page of the command line is made from the table of options, and is the current one."""

from __future__ import annotations

from pathlib import Path

from stepscan.cli.reference import reference

PAGE = Path(__file__).parents[1] / "docs" / "command-line.md"


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == reference(), "python -m stepscan.cli.reference > docs/command-line.md"


def test_it_has_every_option_with_its_default():
    page = reference()
    assert "| `--hidden-size` | Hidden size of each layer and direction. | by data size |" in page
    assert "| `--header`, `--no-header` |" in page
    assert page.count("## stepscan train ") == 5
