"""The demo: each pattern beats its baseline by far, and shows real outputs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stepscan.demo import run


@pytest.mark.parametrize(
    ("task", "better_by", "shown"),
    [
        ("classify", 0.35, ["negative", "positive"]),
        ("generate", -0.2, ["The statement ", "two characters back"]),
        ("tag", 0.3, ["colours are the predicted tags", "keyword definition name"]),
        ("translate", 0.6, ["model writes", "attention weights", "█"]),
    ],
)
def test_demo(task, better_by, shown):
    output = io.StringIO()
    figures = run(only=task, console=Console(file=output, width=100, highlight=False))[task]
    gain = figures["model"] - figures["baseline"]
    assert gain < better_by if task == "generate" else gain > better_by
    for fragment in shown:
        assert fragment in output.getvalue()


def test_a_part_that_is_not_there(run):
    """An error, not a demo of nothing."""
    result = run("demo", "--only", "forecast")
    assert (result.code, result.out) == (1, "")
    assert (
        "only: expected one of the demo's parts, got 'forecast'. Known: classify, generate, tag, translate."
        in result.words
    )
