"""What was measured, kept in a file: one line of JSON a run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

OURS = "ours"
STOPPED = "stopped after"  # how the failure of a run begins that took too long


class Run(NamedTuple):
    """One training, of ours or of a peer, and its scores on the test."""

    set: str
    n: int  # training examples
    whole: bool  # whether they are all that the set has
    runner: str  # OURS, or the peer's name
    seed: int
    seconds: float
    scores: Mapping[str, Any] = {}  # none: it was stopped, or failed
    megabytes: float | None = None  # at the most
    failure: str = ""
    chosen: Mapping[str, Any] = {}  # what our training reports of itself
    said: tuple[str, ...] = ()  # its notes and warnings
    date: str = ""
    machine: str = ""
    versions: str = ""

    @property
    def key(self) -> tuple[str, int, str, int]:
        return self.set, self.n, self.runner, self.seed


class Store:
    """The runs of a file, to which others are appended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[tuple[str, int, str, int], Run] = {}
        text = path.read_text("utf-8") if path.is_file() else ""
        self._whole = text == "" or text.endswith("\n")
        self.take(_read(text.split("\n")))

    def take(self, runs: Iterable[Run]) -> None:
        """Have these runs too, without writing them."""
        self.runs.update({run.key: run for run in runs})

    def __contains__(self, key: tuple[str, int, str, int]) -> bool:
        """Whether there is such a run; one that failed is to be done again, unless it took too long."""
        run = self.runs.get(key)
        return run is not None and (not run.failure or run.failure.startswith(STOPPED))

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs.values())

    def add(self, run: Run) -> None:
        self.take([run])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            line = json.dumps(run._asdict(), ensure_ascii=False) + "\n"
            file.write(line.encode() if self._whole else f"\n{line}".encode())
        self._whole = True


def _read(lines: Iterable[str]) -> Iterator[Run]:
    """The runs in lines; one that was cut off, with the process that wrote it, is none."""
    for line in filter(None, lines):
        with contextlib.suppress(json.JSONDecodeError):
            yield Run(**json.loads(line))
