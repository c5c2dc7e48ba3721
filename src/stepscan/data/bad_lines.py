"""What readers do with a bad line: it is an error, or it is skipped, counted and reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from stepscan.errors import DataError, place_of

Item = TypeVar("Item")
Example = TypeVar("Example")
SHOWN = 3


class BadLines:
    """What readers skipped. A reader that is given one skips bad lines; without it the first one is an error.

    A row of CSV that goes over several lines counts once. A bad line in a sentence of CoNLL drops the sentence, one in
    parallel text the pair.

    Attributes:
        counts: for each file how many lines (sentences, pairs) were skipped.
        first: for each file the errors of the first three.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[DataError]] = {}
        self._units: dict[str, str] = {}

    def skip(self, error: DataError, unit: str) -> None:
        """Count what the error says as skipped."""
        file = str(error.path)
        self.counts[file] += 1
        self._units[file] = unit
        shown = self.first.setdefault(file, [])
        if len(shown) < SHOWN:
            shown.append(error)

    def amount(self, file: str | Path) -> str:
        """How much of a file was skipped, such as `3 sentences`."""
        count = self.counts[str(file)]
        return f"{count:,} {self._units.get(str(file), 'line')}{'s' * (count != 1)}"

    def report(self) -> str:
        """How much was skipped of each file, and the first few with line and reason; empty if nothing was."""
        return "\n".join(
            f"skipped {self.amount(file)} of {place_of(file)}:"
            + "".join(f"\n  {error}" for error in shown)
            + (f"\n  … and {self.counts[file] - len(shown):,} more" if self.counts[file] > len(shown) else "")
            for file, shown in self.first.items()
        )


def refuse(error: DataError, bad_lines: BadLines | None, unit: str = "line") -> None:
    """Raise the error, or have it skipped and counted."""
    if bad_lines is None:
        raise error
    bad_lines.skip(error, unit)


def keep(
    items: Iterable[Item], make: Callable[[Item], Example], bad_lines: BadLines | None, unit: str = "line"
) -> Iterator[Example]:
    """Stream `make(item)` of each item, except of those for which it raises a DataError."""
    for item in items:
        try:
            example = make(item)
        except DataError as error:
            refuse(error, bad_lines, unit)
        else:
            yield example


def check_some(examples: Iterable[Example], path: str | Path, bad_lines: BadLines | None) -> Iterator[Example]:
    """The examples; a DataError if every one was skipped."""
    file = str(path)
    before = bad_lines.counts[file] if bad_lines else 0
    none = True
    for example in examples:
        none = False
        yield example
    if none and bad_lines and bad_lines.counts[file] > before:
        first = bad_lines.first[file][0]
        reason = f"nothing is left of it: all {bad_lines.amount(file)} are bad. The first: {first.reason}"
        raise DataError(reason, path=path, line=first.line, hint=first.hint)
