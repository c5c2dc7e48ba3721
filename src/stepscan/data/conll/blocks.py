"""Files with one token per line: blocks of lines, separated by blank lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stepscan.data.bad_lines import BadLines, require_some
from stepscan.data.example_types import TaggedSentence
from stepscan.data.lines import Line, checked_lines
from stepscan.errors import DataError

NumberedTexts = list[tuple[int, str]]  # the number and the text of each line

BLANKS = " \t"  # only these separate columns: other white space, such as a no-break space, may be a token


def read_blocks(path: str | Path) -> Iterator[list[Line]]:
    """Yield the lines between blank lines, or lines of `-DOCSTART-`; errors as in `checked_lines`."""
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


def line_text(line: Line) -> str:
    """The text of a line without its line end; raises the error of a bad line."""
    if line.error:
        raise line.error
    return line.text.removesuffix("\n")


def require_sentences(
    sentences: Iterable[TaggedSentence], path: str | Path, bad_lines: BadLines | None
) -> Iterator[TaggedSentence]:
    """Yield the sentences that have tokens.

    Raises:
        DataError: there is none.
    """
    empty = True
    for sentence in require_some(sentences, path, bad_lines):
        if sentence.tokens:
            empty = False
            yield sentence
    if empty:
        raise DataError("expected at least one sentence, got none.", path=path)


def require_token_and_tag(token: str, tag: str, path: str | Path, line: int) -> None:
    """Raise a DataError if the token or the tag is empty."""
    if not (token and tag):
        raise DataError(f"expected a {'tag' if token else 'token'}, got an empty field.", path=path, line=line)
