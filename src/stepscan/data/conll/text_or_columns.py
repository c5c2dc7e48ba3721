"""Whether sentences are text, one per line, or CoNLL columns, one token per line, where no name tells it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from stepscan.data.byte_streams import may_block
from stepscan.data.lines import read_lines
from stepscan.errors import DataError, display_path

logger = logging.getLogger(__name__)

_SAMPLE_LINES = 50
_FEWEST_ROWS = 5  # that show columns
_FORMAT_HINT = "Choose with --format text or --format columns."
_JSON = re.compile(r'\[?\s*\{\s*"[^"]+"\s*:')
_CONLLU = re.compile(r"[0-9]+[-.0-9]*(\t[^\t]*){9}$")


def detect_sentence_format(path: str | Path) -> str:
    """The format of a `.txt` file or a stream: "jsonl" if it begins with an object, "conllu" or "columns" if tabs
    separate all lines, or "text".

    Raises:
        DataError: it may be text or columns: all lines have tabs and spaces; or all have the same number of fields, in
            blocks between blank lines, as tokens with tags do.
    """
    sample = list(islice(_strip_lines(read_lines(path, peek=True)), 1 if may_block(path) else _SAMPLE_LINES))
    texts = [line for line in sample if line]
    if texts and _JSON.match(texts[0]):
        return "jsonl"
    if texts and all("\t" in line for line in texts):
        if any(" " in line for line in texts):
            reason = "expected text or columns, got lines that may be either: all have tabs, and some spaces."
            raise DataError(reason, path=path, hint=_FORMAT_HINT)
        return "conllu" if _CONLLU.match(texts[0]) else "columns"
    if look_like_columns(sample):
        raise DataError(f"expected text or columns, got {_describe(texts[0])}.", path=path, hint=_FORMAT_HINT)
    if texts and all(len(line.split()) == 1 for line in texts):
        logger.warning("%s: read as text, one sentence per line; for columns add --format columns", display_path(path))
    return "text"


def is_json(path: str | Path) -> bool:
    """Whether the first line that is not blank begins a JSON object."""
    first = next((line.strip() for _, line in read_lines(path, peek=True) if line.strip()), "")
    return _JSON.match(first) is not None


def refuse_text(path: str | Path) -> None:
    """Raise a DataError if the first line that is not blank looks like a sentence rather than columns."""
    for number, line in read_lines(path, peek=True):
        if line.strip():
            if "\t" not in line and len(line.split()) > 1:
                reason = "expected text or columns, got a line that may be either."
                raise DataError(reason, path=path, line=number, hint=_FORMAT_HINT)
            return


def warn_of_columns(lines: Iterable[str], path: str | Path) -> Iterator[str]:
    """Yield the lines of a text; log a warning if the first of them look like columns."""
    sample: list[str] = []
    for line in lines:
        if len(sample) < _SAMPLE_LINES:
            sample += _strip_lines([(0, line)])
            if len(sample) == _SAMPLE_LINES and look_like_columns(sample):
                _warn(sample, path)
        yield line
    if len(sample) < _SAMPLE_LINES and look_like_columns(sample):
        _warn(sample, path)


def look_like_columns(sample: list[str]) -> bool:
    """Whether all lines have the same number of fields, two or more, some are adjacent, and some follow blank lines."""
    blocks = " ".join("|" if line else "-" for line in sample).strip("- ")
    widths = {len(line.split()) for line in sample if line}
    is_regular = len(widths) == 1 and min(widths) > 1
    return is_regular and blocks.count("|") >= _FEWEST_ROWS and "| |" in blocks and "-" in blocks


def _strip_lines(lines: Iterable[tuple[int, str]]) -> Iterator[str]:
    """The texts of lines, without whitespace around them; lines that may be comments in columns are left out."""
    return (line.strip() for _, line in lines if not line.startswith(("#", "-DOCSTART-")))


def _warn(sample: list[str], path: str | Path) -> None:
    first = next(filter(None, sample))
    message = "%s: read as text, one sentence per line, but got %s. %s"
    logger.warning(message, display_path(path), _describe(first), _FORMAT_HINT)


def _describe(line: str) -> str:
    return f"lines that may be either: {len(line.split())} fields in every line, and blank lines between blocks"
