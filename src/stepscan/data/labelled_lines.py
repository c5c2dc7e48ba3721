"""Lines of a label, whitespace and a text, read as examples."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from stepscan.data.bad_lines import BadLines, convert, require_some
from stepscan.data.delimited import Dialect, likely_dialects, split_sample
from stepscan.data.example_lines import without_blank_end
from stepscan.data.example_types import LabelledText
from stepscan.data.labels import split_labelled_line
from stepscan.data.lines import Line, valid_lines
from stepscan.errors import DataError, display_path

logger = logging.getLogger(__name__)

_SAMPLE_LINES = 50


def labelled_lines(
    lines: Iterator[Line], problem_type: str, path: str | Path, bad_lines: BadLines | None
) -> Iterator[LabelledText]:
    """Yield the examples in lines of `label text`; logs a warning if they may be a table.

    Args:
        lines: of the file.
        problem_type: how labels are parsed, a key of `stepscan.data.labels.PARSERS`.
        path: the file, for messages.
        bad_lines: skips and counts bad lines.

    Raises:
        DataError: a bad line, a header, or labels after the texts.
    """
    labels_after = 0
    head = list(islice(lines, _SAMPLE_LINES))
    lines = chain(head, lines)

    def labelled(row: tuple[int, str]) -> LabelledText:
        nonlocal labels_after
        number, text = row
        words = text.casefold().split()
        if words == ["label", "text"] or (words == ["text", "label"] and number == 1):
            raise DataError("expected an example, got a header.", path=path, line=number, hint="Remove it.")
        before, tab, after = text.partition("\t")
        labels_after += bool(tab) and " " in before.strip() and len(after.split()) == 1
        return LabelledText(*split_labelled_line(text, problem_type, path, number))

    rows = convert(without_blank_end(valid_lines(lines, bad_lines), path, bad_lines), labelled, bad_lines)
    count = 0
    for example in require_some(rows, path, bad_lines):
        count += 1
        yield example
    if labels_after > count / 2:
        reason = "expected the label before the text, got the label after it in most lines."
        hint = "If a tab separates them, add --format tsv --text-column 1 --label-column 2."
        raise DataError(reason, path=path, hint=hint)
    if problem_type == "classification":
        _warn_of_table(head, path)


def _warn_of_table(head: Sequence[Line], path: str | Path) -> None:
    """Log a warning if lines that are read as label and text may be rows of a table."""
    dialect = likely_dialects(head, [Dialect(delimiter) for delimiter in ",;|"])[0]
    widths = [len(row) for row in split_sample(head, dialect)]
    if len(widths) >= 5 and len({*widths}) == 1 and widths[0] > 1:
        problem = f"{dialect.name} is in every line, but lines are read as label, space, text"
        hint = "if it separates fields, add --format csv and --text-column and --label-column, such as 1 and 2"
        logger.warning("%s: %s; %s", display_path(path), problem, hint)
