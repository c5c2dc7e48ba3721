"""Measured runs, stored in a file: one line of JSON per run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

OURS = "ours"
STOPPED = "stopped after"  # how the failure of a run that took too long starts


class Run(NamedTuple):
    """One training, ours or a peer's, and its scores on the test."""

    set: str
    n: int  # training examples
    whole: bool  # whether that is the whole set
    runner: str  # OURS, or the peer's name
    seed: int
    seconds: float
    scores: Mapping[str, Any] = {}  # empty if it was stopped or failed
    megabytes: float | None = None  # peak
    failure: str = ""
    chosen: Mapping[str, Any] = {}  # the report of our training
    said: tuple[str, ...] = ()  # its notes and warnings
    date: str = ""
    machine: str = ""
    versions: str = ""

    @property
    def key(self) -> tuple[str, int, str, int]:
        return self.set, self.n, self.runner, self.seed


class Store:
    """The runs in a file, to which new ones are appended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[tuple[str, int, str, int], Run] = {}
        text = path.read_text("utf-8") if path.is_file() else ""
        self._ends_with_newline = text == "" or text.endswith("\n")
        self.take(_read(text.split("\n")))

    def take(self, runs: Iterable[Run]) -> None:
        """Add these runs without writing them."""
        self.runs.update({run.key: run for run in runs})

    def __contains__(self, key: tuple[str, int, str, int]) -> bool:
        """Whether there is such a run; failed ones do not count, unless they took too long."""
        run = self.runs.get(key)
        return run is not None and (not run.failure or run.failure.startswith(STOPPED))

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs.values())

    def add(self, run: Run) -> None:
        self.take([run])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            line = json.dumps(run._asdict(), ensure_ascii=False) + "\n"
            file.write(line.encode() if self._ends_with_newline else f"\n{line}".encode())
        self._ends_with_newline = True


def _read(lines: Iterable[str]) -> Iterator[Run]:
    """The runs in lines; an incomplete line, of a process that was killed, is skipped."""
    for line in filter(None, lines):
        with contextlib.suppress(json.JSONDecodeError):
            yield Run(**json.loads(line))
