"""What commands print: figures, answers, and what was skipped."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from rich.console import Console
from rich.markup import escape


def say(what: str, message: object) -> None:
    Console(stderr=True).print(f"{what} {escape(str(message))}", highlight=False, soft_wrap=True)


class Notes(logging.Handler):
    """What the library logs, on standard error: `note:`, or `warning:` where an answer may depend on it."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "[bold yellow]warning:[/bold yellow]" if record.levelno >= logging.WARNING else "[bold]note:[/bold]"
        say(kind, record.getMessage())


def quieten() -> None:
    """Only warnings: no notes."""
    logging.getLogger("stepscan").setLevel(logging.WARNING)


def report(bad_lines: Any) -> None:
    """What was skipped, on standard error."""
    if bad_lines and bad_lines.counts:
        say("[bold yellow]warning:[/bold yellow]", bad_lines.report())


def print_figures(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures, ensure_ascii=False))
        return
    for name, value in figures.items():
        if name == "types":  # of spans: a line each
            value = "".join(f"\n  {kind:<18}{_in_a_line(of_kind)}" for kind, of_kind in value.items())
        print(f"{name:<16} {value:.4f}" if isinstance(value, float) else f"{name:<16} {value}".rstrip())


def _in_a_line(figures: dict[str, Any]) -> str:
    return " · ".join(f"{n} {v:.4f}" if isinstance(v, float) else f"{n} {v}" for n, v in figures.items())


def as_forecast_line(row: dict[str, Any]) -> str:
    """A step of a forecast: its number, median, low and high, and its time if that is known."""
    numbers = (",".join(f"{x:.6g}" for x in row[name]) for name in ("median", "low", "high"))
    return "\t".join([str(row["step"]), *numbers, *([row["time"]] if "time" in row else [])])


def as_lines(row: dict[str, Any]) -> list[str]:
    """What `predict` says of a text: one line, or for a tagger one a token and a blank one."""
    if "tags" in row:
        return [*(f"{token}\t{tag}" for token, tag in zip(row["tokens"], row["tags"], strict=True)), ""]
    return [re.sub(r"[\r\n]+", " ", row["translation"] if "translation" in row else _decided(row))]


def _decided(row: dict[str, Any]) -> str:
    if "number" in row:
        return f"{row['number']:.6g}\t{_name(row)}"
    found = row["labels"] if "labels" in row else {row["label"]: row["probability"]}
    return f"{','.join(found)}\t{','.join(f'{p:.4f}' for p in found.values())}\t{_name(row)}"


def _name(row: dict[str, Any]) -> str:
    return row["text"] if "text" in row else f"series {row['series']}"
