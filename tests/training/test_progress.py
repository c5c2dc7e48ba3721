from __future__ import annotations

import io
import sys
import types

from rich.console import Console

from stepscan.training.progress import NotebookBar, ProgressBar

FIGURES = {"loss": 1.0, "sequences_per_second": 2000.0, "tokens_per_second": 30000.0, "padding": 0.0}
ROW = {
    "epoch": 3,
    "seconds": 61.7,
    "train_loss": 0.12345,
    "valid_accuracy": 0.9,
    "valid_nats": 1.25,
    "tokens_per_second": 12345.6,
    "padding": 0.073,
    "best": True,
}


def test_one_line_an_evaluation_where_there_is_no_terminal():
    """Nothing for a step, no control codes, and no line broken at 80 characters."""
    file = io.StringIO()
    bar = ProgressBar(Console(file=file, width=40))
    bar.note("no validation data given: the last tenth (4 of 40) is held out")
    for done in (0.1, 0.5, 1.0):
        bar.step(done, FIGURES)
    bar.evaluated(ROW)
    bar.evaluated({**ROW, "epoch": 12, "best": False})
    bar.close()
    line = "62 s · loss 0.1235 · validation: accuracy 0.9000 · nats 1.2500 · 12,346 tok/s · padding 7%"
    assert file.getvalue().rstrip("\n").splitlines() == [
        "no validation data given: the last tenth (4 of 40) is held out",
        f"epoch  3 · {line} best",
        f"epoch 12 · {line}",
    ]


def test_a_bar_on_a_terminal():
    file = io.StringIO()
    bar = ProgressBar(Console(file=file, width=140, force_terminal=True))
    bar.step(0.5, FIGURES)
    bar._progress.refresh()
    bar.evaluated(ROW)
    bar.close()
    shown = file.getvalue()
    assert "loss 1.000 · 2,000 seq/s · 30,000 tok/s · padding 0%" in shown
    assert "accuracy" in shown
    assert bar._progress.finished is False
    assert bar._progress.live.is_started is False


def test_a_bar_in_a_notebook(monkeypatch):
    """One output, redrawn at most five times a second, and empty in the end."""
    drawn = []

    class Handle:
        def update(self, html):
            drawn.append(html)

    def display(html, display_id):
        drawn.append(html)
        return Handle()

    package, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    module.HTML, module.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    bar = NotebookBar()
    for done in (0.25, 0.5):
        bar.update(done, "loss <1>")
    bar.close()
    assert drawn == ['<progress value="0.250"></progress> loss &lt;1&gt;', ""]
