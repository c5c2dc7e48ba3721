"""Whether sentences stand in text, one a line, or in CoNLL columns, a token a line, where no name says so."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from stepscan.data.byte_streams import may_block
from stepscan.data.lines import read_lines
from stepscan.errors import DataError, place_of

logger = logging.getLogger(__name__)

_SAMPLE, _FEWEST = 50, 5  # lines that are looked at; lines that show columns
_SAY = "Say --format text or --format columns."
_JSON = re.compile(r'\[?\s*\{\s*"[^"]+"\s*:')
_CONLLU = re.compile(r"[0-9]+[-.0-9]*(\t[^\t]*){9}$")


def likely_format(path: str | Path) -> str:
    """What a `.txt` file or a stream holds: JSON Lines, if it begins so; columns, if tabs divide all lines; or text.

    Raises:
        DataError: tabs and blanks do; or all lines have as many fields, in blocks with blank lines between, as tokens
            with their tags do.
    """
    sample = list(islice(_sample(read_lines(path, peek=True)), 1 if may_block(path) else _SAMPLE))
    filled = [line for line in sample if line]
    if filled and _JSON.match(filled[0]):
        return "jsonl"
    if filled and all("\t" in line for line in filled):
        if any(" " in line for line in filled):
            raise DataError("this may be text or columns: tabs in every line, and blanks too.", path=path, hint=_SAY)
        return "conllu" if _CONLLU.match(filled[0]) else "columns"
    if look_like_columns(sample):
        raise DataError(_in_each(filled[0]), path=path, hint=_SAY)
    if filled and all(len(line.split()) == 1 for line in filled):
        logger.warning("%s: read as text, one sentence a line; for columns say --format columns", place_of(path))
    return "text"


def is_json(path: str | Path) -> bool:
    """Whether the first line that says anything begins a JSON object."""
    first = next((line.strip() for _, line in read_lines(path, peek=True) if line.strip()), "")
    return _JSON.match(first) is not None


def refuse_text(path: str | Path) -> None:
    """Raise if the first line that says anything looks like a sentence, of which columns would keep one word."""
    for number, line in read_lines(path, peek=True):
        if line.strip():
            if "\t" not in line and len(line.split()) > 1:
                raise DataError("this may be text or columns.", path=path, line=number, hint=_SAY)
            return


def watched(lines: Iterable[str], path: str | Path) -> Iterator[str]:
    """The lines of a text, of which a warning is logged if the first look like columns: a pipe shows it late."""
    sample: list[str] = []
    for line in lines:
        if len(sample) < _SAMPLE:
            sample += _sample([(0, line)])
            if len(sample) == _SAMPLE and look_like_columns(sample):
                _warn(sample, path)
        yield line
    if len(sample) < _SAMPLE and look_like_columns(sample):
        _warn(sample, path)


def look_like_columns(sample: list[str]) -> bool:
    """Whether lines have two fields or more, all as many, some right below each other and some after blank lines."""
    blocks = " ".join("|" if line else "-" for line in sample).strip("- ")
    widths = {len(line.split()) for line in sample if line}
    return len(widths) == 1 and min(widths) > 1 and blocks.count("|") >= _FEWEST and "| |" in blocks and "-" in blocks


def _sample(lines: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Lines, without blanks at their ends, but not those that may be comments in columns."""
    return (line.strip() for _, line in lines if not line.startswith(("#", "-DOCSTART-")))


def _warn(sample: list[str], path: str | Path) -> None:
    first = next(filter(None, sample))
    logger.warning("%s: read as text, one sentence a line, but %s %s", place_of(path), _in_each(first), _SAY)


def _in_each(line: str) -> str:
    return f"this may be text or columns: {len(line.split())} fields in every line, and blank lines between blocks."
