"""Progress reports of training: a bar on a terminal, one line per evaluation elsewhere."""

from __future__ import annotations

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
