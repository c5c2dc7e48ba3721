"""Output of the commands: metrics, predictions and messages."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

from stepscan.errors import STANDARD, display_path
from stepscan.json_text import json_text
from stepscan.terminal import printable

_LINE_ENDS, _SEPARATORS = re.compile(r"[\r\n]+"), re.compile(r"[\r\n\t]+")


def print_message(what: str, message: object) -> None:
    """Print a message to standard error, preceded by its kind, in rich's markup."""
    Console(stderr=True).print(f"{what} {escape(printable(str(message)))}", highlight=False, soft_wrap=True)


def is_terminal() -> bool:
    """Whether standard output is a terminal, for which control characters are escaped."""
    return sys.stdout.isatty()


class LogHandler(logging.Handler):
    """Prints the library's log to standard error, as `note:` or `warning:`."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "[bold yellow]warning:[/bold yellow]" if record.levelno >= logging.WARNING else "[bold]note:[/bold]"
        message = record.getMessage()
        if message.startswith((f"{STANDARD}:", f"{STANDARD}, line")):
            message = display_path(STANDARD) + message.removeprefix(STANDARD)
        print_message(kind, message)


def hide_notes() -> None:
    """Print warnings only, no notes."""
    logging.getLogger("stepscan").setLevel(logging.WARNING)


def report(bad_lines: Any) -> None:
    """Print which lines were skipped, to standard error."""
    if bad_lines and bad_lines.counts:
        print_message("[bold yellow]warning:[/bold yellow]", bad_lines.report())


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    """Print metrics to standard output, one per line, or as one JSON object."""
    if as_json:
        print(json_text(figures))
        return
    for name, value in figures.items():
        if name == "types":  # of spans: one line each
            value = "".join(f"\n  {kind:<18}{_join_figures(scores)}" for kind, scores in value.items())
        if name == "yardstick":
            value = f"{value['name']}: {_join_figures(value['scores'])}"
        shown = f"{value:.4f}" if isinstance(value, float) else printable(str(value))
        print(f"{name:<16} {shown}".rstrip())


def _join_figures(figures: dict[str, Any]) -> str:
    return " · ".join(f"{n} {v:.4f}" if isinstance(v, float) else f"{n} {v}" for n, v in figures.items())


def as_forecast_line(row: dict[str, Any]) -> str:
    """A step of a forecast in columns: step, median, low and high, time (if known), name of the series."""
    values = (",".join(f"{x:.6g}" for x in row[name]) for name in ("median", "low", "high"))
    fields = [row.get("time", "")] if {"time", "series"} & set(row) else []
    return "\t".join([str(row["step"]), *values, *fields, *([_label(str(row["series"]))] if "series" in row else [])])


def as_lines(row: dict[str, Any], show: Callable[[str], str]) -> list[str]:
    """The lines that `predict` prints for a record: one, or for a tagger one per token and a blank one.

    Line ends and separators are replaced by spaces. Labels are always made printable, since a model may be untrusted;
    `show` converts what comes from the text itself.
    """
    if "tags" in row:
        pairs = zip(row["tokens"], row["tags"], strict=True)
        return [*(f"{show(_without_separators(token))}\t{_label(tag)}" for token, tag in pairs), ""]
    return [show(_LINE_ENDS.sub(" ", row["translation"]) if "translation" in row else _format_prediction(row))]


def _format_prediction(row: dict[str, Any]) -> str:
    if "number" in row:
        return f"{row['number']:.6g}\t{_name(row)}"
    labels = row["labels"] if "labels" in row else {row["label"]: row["probability"]}
    return f"{','.join(map(_label, labels))}\t{','.join(f'{p:.4f}' for p in labels.values())}\t{_name(row)}"


def _label(name: str) -> str:
    return printable(_without_separators(name))


def _name(row: dict[str, Any]) -> str:
    return _without_separators(row["text"]) if "text" in row else f"series {row['series']}"


def _without_separators(text: str) -> str:
    return _SEPARATORS.sub(" ", text)
