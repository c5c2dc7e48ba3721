"""Files of sentences with a token a line: blocks of lines with blank lines between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stepscan.data.bad_lines import BadLines, require_some
from stepscan.data.example_types import TaggedSentence
from stepscan.data.lines import Line, checked_lines
from stepscan.errors import DataError

Texts = list[tuple[int, str]]  # lines with their numbers

BLANKS = " \t"  # only these separate columns: a token may be other white space, such as a no-break space


def blocks_of(path: str | Path) -> Iterator[list[Line]]:
    """Lines between lines of blanks alone, or of `-DOCSTART-`."""
    block: list[Line] = []
    for line in checked_lines(path):
        text = line.text.removesuffix("\n").strip(BLANKS)
        if line.error or (text and text.replace("\t", " ").split(" ", 1)[0] != "-DOCSTART-"):
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def text_of(line: Line) -> str:
    """A line without its end; raises what is wrong with it."""
    if line.error:
        raise line.error
    return line.text.removesuffix("\n")


def nonempty(
    sentences: Iterable[TaggedSentence], path: str | Path, bad_lines: BadLines | None
) -> Iterator[TaggedSentence]:
    """The sentences that have tokens; an error if there are none."""
    none = True
    for sentence in require_some(sentences, path, bad_lines):
        if sentence.tokens:
            none = False
            yield sentence
    if none:
        raise DataError("the file has no sentence.", path=path)


def check_filled(token: str, tag: str, path: str | Path, line: int) -> None:
    if not (token and tag):
        raise DataError(f"the {'tag' if token else 'token'} is empty.", path=path, line=line)
