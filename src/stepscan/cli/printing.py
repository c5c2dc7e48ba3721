"""What commands print: figures, answers, and what was skipped."""

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


def say(what: str, message: object) -> None:
    Console(stderr=True).print(f"{what} {escape(printable(str(message)))}", highlight=False, soft_wrap=True)


def is_terminal() -> bool:
    """Whether people read what is printed; otherwise it is a program or a file, which get it as it is."""
    return sys.stdout.isatty()


class Notes(logging.Handler):
    """What the library logs, on standard error: `note:`, or `warning:` where an answer may depend on it."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "[bold yellow]warning:[/bold yellow]" if record.levelno >= logging.WARNING else "[bold]note:[/bold]"
        message = record.getMessage()
        if message.startswith((f"{STANDARD}:", f"{STANDARD}, line")):
            message = display_path(STANDARD) + message.removeprefix(STANDARD)
        say(kind, message)


def quieten() -> None:
    """Only warnings: no notes."""
    logging.getLogger("stepscan").setLevel(logging.WARNING)


def report(bad_lines: Any) -> None:
    """What was skipped, on standard error."""
    if bad_lines and bad_lines.counts:
        say("[bold yellow]warning:[/bold yellow]", bad_lines.report())


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json_text(figures))
        return
    for name, value in figures.items():
        if name == "types":  # of spans: a line each
            value = "".join(f"\n  {kind:<18}{_in_a_line(of_kind)}" for kind, of_kind in value.items())
        if name == "yardstick":
            value = f"{value['name']}: {_in_a_line(value['scores'])}"
        shown = f"{value:.4f}" if isinstance(value, float) else printable(str(value))
        print(f"{name:<16} {shown}".rstrip())


def _in_a_line(figures: dict[str, Any]) -> str:
    return " · ".join(f"{n} {v:.4f}" if isinstance(v, float) else f"{n} {v}" for n, v in figures.items())


def as_forecast_line(row: dict[str, Any]) -> str:
    """A step of a forecast: its number, median, low and high, its time if that is known, and the name of its series."""
    numbers = (",".join(f"{x:.6g}" for x in row[name]) for name in ("median", "low", "high"))
    named = [row.get("time", "")] if {"time", "series"} & set(row) else []
    return "\t".join([str(row["step"]), *numbers, *named, *([_label(str(row["series"]))] if "series" in row else [])])


def as_lines(row: dict[str, Any], show: Callable[[str], str]) -> list[str]:
    """What `predict` says of a text: one line, or for a tagger one a token and a blank one.

    What would end a line or a column is shown as a space. Labels are always printable, because a model may be
    anybody's; `show` decides on what comes of the text itself.
    """
    if "tags" in row:
        pairs = zip(row["tokens"], row["tags"], strict=True)
        return [*(f"{show(_in_a_column(token))}\t{_label(tag)}" for token, tag in pairs), ""]
    return [show(_LINE_ENDS.sub(" ", row["translation"]) if "translation" in row else _decided(row))]


def _decided(row: dict[str, Any]) -> str:
    if "number" in row:
        return f"{row['number']:.6g}\t{_name(row)}"
    found = row["labels"] if "labels" in row else {row["label"]: row["probability"]}
    return f"{','.join(map(_label, found))}\t{','.join(f'{p:.4f}' for p in found.values())}\t{_name(row)}"


def _label(name: str) -> str:
    return printable(_in_a_column(name))


def _name(row: dict[str, Any]) -> str:
    return _in_a_column(row["text"]) if "text" in row else f"series {row['series']}"


def _in_a_column(text: str) -> str:
    return _SEPARATORS.sub(" ", text)
