"""What readers do with a bad line: raise an error, or skip, count and report it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from stepscan.errors import DataError, display_path

Item = TypeVar("Item")
Example = TypeVar("Example")
SHOWN = 3


class BadLines:
    """The lines that readers skipped. Readers skip bad lines if they are given one; otherwise they raise at the first.

    A CSV row that spans several lines counts once. A bad line in a CoNLL sentence skips the whole sentence, in parallel
    text the pair.

    Attributes:
        counts: number of skipped lines (sentences, pairs) per file.
        first: the first three errors per file.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[DataError]] = {}
        self._units: dict[str, str] = {}

    def skip(self, error: DataError, unit: str) -> None:
        """Count the line of an error as skipped.

        Args:
            error: names the file.
            unit: what was skipped, in the singular: "line", "sentence" or "pair".
        """
        file = str(error.path)
        self.counts[file] += 1
        self._units[file] = unit
        shown = self.first.setdefault(file, [])
        if len(shown) < SHOWN:
            shown.append(error)

    def describe_count(self, file: str | Path) -> str:
        """How much of a file was skipped, such as `3 sentences`."""
        count = self.counts[str(file)]
        return f"{count:,} {self._units.get(str(file), 'line')}{'s' * (count != 1)}"

    def report(self) -> str:
        """The number skipped per file and the first errors; empty if nothing was skipped."""
        return "\n".join(
            f"skipped {self.describe_count(file)} of {display_path(file)}:"
            + "".join(f"\n  {error}" for error in shown)
            + (f"\n  … and {self.counts[file] - len(shown):,} more" if self.counts[file] > len(shown) else "")
            for file, shown in self.first.items()
        )


def raise_or_skip(error: DataError, bad_lines: BadLines | None, unit: str = "line") -> None:
    """Raise the error, or count it in `bad_lines` if that is given."""
    if bad_lines is None:
        raise error
    bad_lines.skip(error, unit)


def convert(
    items: Iterable[Item], make: Callable[[Item], Example], bad_lines: BadLines | None, unit: str = "line"
) -> Iterator[Example]:
    """Yield `make(item)` for each item; where it raises a DataError, raise or skip it as `raise_or_skip` does."""
    for item in items:
        try:
            example = make(item)
        except DataError as error:
            raise_or_skip(error, bad_lines, unit)
        else:
            yield example


def require_some(examples: Iterable[Example], path: str | Path, bad_lines: BadLines | None) -> Iterator[Example]:
    """Yield the examples.

    Raises:
        DataError: every line of the file was skipped.
    """
    file = str(path)
    before = bad_lines.counts[file] if bad_lines else 0
    empty = True
    for example in examples:
        empty = False
        yield example
    if empty and bad_lines and bad_lines.counts[file] > before:
        first = bad_lines.first[file][0]
        reason = f"no example is left: all {bad_lines.describe_count(file)} are bad. The first error: {first.reason}"
        raise DataError(reason, path=path, line=first.line, hint=first.hint)
