"""Lines of a label, a blank and a text as examples."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from stepscan.data import delimited
from stepscan.data.bad_lines import BadLines, convert, require_some
from stepscan.data.delimited import Dialect
from stepscan.data.example_types import LabelledText
from stepscan.data.labels import labelled_line
from stepscan.data.lines import Line, valid_lines
from stepscan.data.tables import filled
from stepscan.errors import DataError, place_of

logger = logging.getLogger(__name__)


def labelled_lines(
    lines: Iterator[Line], decision: str, path: str | Path, bad_lines: BadLines | None
) -> list[LabelledText]:
    """The examples in the lines of a file; logs what may be a table in truth.

    Raises:
        DataError: a header, or the labels come after the texts.
    """
    turned = 0
    head = list(islice(lines, 50))
    lines = chain(head, lines)

    def labelled(row: tuple[int, str]) -> LabelledText:
        nonlocal turned
        words = row[1].casefold().split()
        if words == ["label", "text"] or (words == ["text", "label"] and row[0] == 1):
            raise DataError("expected an example, but this is a header.", path=path, line=row[0], hint="Remove it.")
        before, tab, after = row[1].partition("\t")
        turned += bool(tab) and " " in before.strip() and len(after.split()) == 1
        return LabelledText(*labelled_line(row[1], decision, path, row[0]))

    rows = convert(filled(valid_lines(lines, bad_lines), path, bad_lines), labelled, bad_lines)
    examples = list(require_some(rows, path, bad_lines))
    if turned > len(examples) / 2:
        hint = "If a tab parts them, add --format tsv --text-column 1 --label-column 2."
        raise DataError("expected the label before the text, but most labels come after.", path=path, hint=hint)
    if decision == "class":
        _doubt_lines(head, path)
    return examples


def _doubt_lines(head: Sequence[Line], path: str | Path) -> None:
    """Log that lines read as label, blank, text are perhaps rows of a table."""
    dialect = delimited.likely_dialects(head, [Dialect(mark) for mark in ",;|"])[0]
    widths = [len(row) for row in delimited.sample(head, dialect)]
    if len(widths) >= 5 and len({*widths}) == 1 and widths[0] > 1:
        said = f"{dialect.name} is in every line, but lines are read as the label, a blank, the text"
        hint = "if it separates fields, add --format csv and --text-column and --label-column, such as 1 and 2"
        logger.warning("%s: %s; %s", place_of(path), said, hint)
