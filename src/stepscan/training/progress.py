"""Progress reports of training: a bar on a terminal or in a notebook, and one line per evaluation everywhere."""

from __future__ import annotations

import time
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stepscan.terminal import printable


class Reporter:
    """Base of reporters, whose methods the training loop calls; in this class they do nothing."""

    def step(self, done: float, figures: dict[str, float]) -> None:
        """Called after a batch with the share of training done (0 … 1) and the running figures."""

    def evaluated(self, row: dict[str, Any]) -> None:
        """Called after an evaluation with its row of metrics.jsonl."""

    def note(self, text: str) -> None:
        """Called with a message to the user."""

    def close(self) -> None:
        """Called when training ends."""


class NullReporter(Reporter):
    """Reports nothing."""


class ProgressBar(Reporter):
    """A progress bar with loss, last validation score, sequences and tokens per second, padding and time left.

    Args:
        console: where it is printed; None for standard error, so that standard output holds results only.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[text]}"),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._cell = NotebookBar() if self.console.is_jupyter else None
        self._score = ""
        self._task = self._progress.add_task("", total=1.0, text="training")
        if self.console.is_terminal:
            self._progress.start()

    def step(self, done: float, figures: dict[str, float]) -> None:
        text = (
            f"loss {figures['loss']:.3f} · {self._score}{figures['sequences_per_second']:,.0f} seq/s · "
            f"{figures['tokens_per_second']:,.0f} tok/s · padding {figures['padding']:.0%}"
        )
        self._progress.update(self._task, completed=done, text=text)
        if self._cell is not None:
            self._cell.update(done, text)

    def evaluated(self, row: dict[str, Any]) -> None:
        scores = " · ".join(f"{k.removeprefix('valid_')} {v:.4f}" for k, v in row.items() if k.startswith("valid_"))
        self._score = f"validation {scores.split(' · ')[0]} · " if scores else ""
        validation = f"validation: {scores} · " if scores else ""
        best = " [green]best[/green]" if row["best"] and scores else ""
        self.console.print(
            f"epoch {row['epoch']:>2} · {row['seconds']:.0f} s · loss {row['train_loss']:.4f} · {validation}"
            f"{row['tokens_per_second']:,.0f} tok/s · padding {row['padding']:.0%}{best}",
            highlight=False,
            soft_wrap=True,
        )

    def note(self, text: str) -> None:
        self.console.print(printable(text), highlight=False, soft_wrap=True)

    def close(self) -> None:
        if self._progress.live.is_started:
            self._progress.stop()
        if self._cell is not None:
            self._cell.close()


class NotebookBar:
    """A bar in the output of a notebook's cell, redrawn in place; rich's own bar needs ipywidgets there."""

    _INTERVAL = 0.2  # seconds between two drawings

    def __init__(self) -> None:
        self._handle: Any = None
        self._next = 0.0

    def update(self, done: float, text: str) -> None:
        """Draw the share of training done (0 … 1) and a line of text, unless the last drawing is too recent."""
        if time.monotonic() >= self._next:
            self._draw(f'<progress value="{done:.3f}"></progress> {escape(text)}')
            self._next = time.monotonic() + self._INTERVAL

    def close(self) -> None:
        """Erase the bar."""
        if self._handle is not None:
            self._draw("")

    def _draw(self, html: str) -> None:
        from IPython.display import HTML, display  # a notebook has it

        if self._handle is None:
            self._handle = display(HTML(html), display_id=True)
        else:
            self._handle.update(HTML(html))
