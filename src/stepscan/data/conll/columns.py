"""CoNLL columns: one token per line, with annotations in further columns."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from stepscan.data.bad_lines import BadLines, convert
from stepscan.data.conll.blocks import (
    NumberedTexts,
    line_text,
    read_blocks,
    require_sentences,
    require_token_and_tag,
)
from stepscan.data.conll.comments import CommentDetector
from stepscan.data.conll.layout import RANGE_OR_EMPTY_NODE, ColumnChoice, Layout, find_layout
from stepscan.data.example_types import TaggedSentence
from stepscan.data.lines import Line
from stepscan.errors import DataError

logger = logging.getLogger(__name__)

_SHOWN_TOKENS = 8  # of the first sentence, in the log
_ENOUGH_ROWS = 5  # to show whether a column holds tokens


def read_columns(path: str | Path, choice: ColumnChoice, bad_lines: BadLines | None) -> Iterator[TaggedSentence]:
    """Yield the sentences of a file of CoNLL columns; the columns that are read are logged once.

    Args:
        path: the file.
        choice: the columns to read.
        bad_lines: skips and counts sentences with a bad line.

    Raises:
        DataError: as `stepscan.data.conll.readers.read_tagged`.
    """
    blocks = _Blocks(read_blocks(path))
    reader, has_tags = _SentenceReader(path, choice, blocks), not choice.tagged
    for sentence in require_sentences(convert(blocks, reader.read, bad_lines, "sentence"), path, bad_lines):
        has_tags = has_tags or any(tag != "_" for tag in sentence.tags)
        yield sentence
    reader.check_tokens()
    if not has_tags:
        column = reader.layout.tag + 1 if reader.layout else 0
        reason = f"expected tags in column {column}, got '_' in every row of the file."
        raise DataError(reason, path=path, hint="Name another with --tag-column.")


class _Blocks:
    """Iterates over blocks, and can look ahead where one block does not show how it is to be read."""

    def __init__(self, blocks: Iterable[list[Line]]) -> None:
        self._blocks, self._queue = iter(blocks), deque[list[Line]]()

    def __iter__(self) -> Iterator[list[Line]]:
        while block := self._queue.popleft() if self._queue else next(self._blocks, None):
            yield block

    def peek(self) -> NumberedTexts:
        """The lines of the next block that has other lines than those with a `#`; empty if there is none."""
        for block in self._queue:
            if _without_marked(texts := _texts(block)):
                return texts
        for block in self._blocks:
            self._queue.append(block)
            if _without_marked(texts := _texts(block)):
                return texts
        return []


class _SentenceReader:
    """Converts blocks to sentences. The first good block determines the layout."""

    def __init__(self, path: str | Path, choice: ColumnChoice, blocks: _Blocks) -> None:
        self.path, self.choice, self.blocks = path, choice, blocks
        self.layout: Layout | None = None
        self.comments = CommentDetector(path, blocks.peek)
        self.is_mixed = False  # whether any line has other separators
        self.rows = 0  # in sentences of several tokens
        self.tokens_differ = False  # within any of these sentences

    def read(self, block: list[Line]) -> TaggedSentence:
        """The sentence in a block; raises a DataError at the first bad line."""
        texts = [(line.number, line_text(line)) for line in block]
        layout = self.layout or self._find_layout(texts)
        texts = [(number, text) for number, text in texts if number != layout.header]
        comments = self.comments.count(texts, layout)
        rows = [(number, self._split(number, text, layout)) for number, text in texts[comments:]]
        if layout.ids is not None:
            rows = [(number, row) for number, row in rows if not RANGE_OR_EMPTY_NODE.fullmatch(row[layout.ids])]
        self.comments.tags.update(row[-1] for _, row in rows)
        for number, row in rows:
            require_token_and_tag(row[layout.token], row[layout.tag], self.path, number)
            self._check_single(row, number, layout)
        sentence = TaggedSentence([row[layout.token] for _, row in rows], [row[layout.tag] for _, row in rows])
        if len(rows) > 1:
            self.rows += len(rows)
            self.tokens_differ = self.tokens_differ or len(set(sentence.tokens)) > 1
        if rows and self.layout is None:
            self.layout = layout
            self._log_layout(layout, sentence)
        return sentence

    def check_tokens(self) -> None:
        """Check the column of tokens.

        Raises:
            DataError: the user did not choose it, and it is constant within every sentence.
        """
        if self.layout and self.rows >= _ENOUGH_ROWS and not self.tokens_differ and self.choice.token is None:
            column, width = self.layout.token + 1, self.layout.width
            if width > 1 + self.choice.tagged:
                reason = f"expected tokens in column {column} of {width}, got the same text in all rows of a sentence."
                raise DataError(reason, path=self.path, hint="Name the column of tokens with --token-column.")

    def _check_single(self, row: list[str], number: int, layout: Layout) -> None:
        """Raise if a row holds the tokens and tags of a whole sentence."""
        token, tag = row[layout.token], row[layout.tag] if self.choice.tagged else row[-1]
        if " " in tag and layout.width > 1 and len(token.split()) == len(tag.split()):
            reason = f"expected one token and its tag, got {len(tag.split())} of each: {token[:40]!r}, {tag[:40]!r}."
            hint = "Write each token and its tag on one line, and a blank line after each sentence."
            raise DataError(reason, path=self.path, line=number, hint=hint)

    def _find_layout(self, texts: NumberedTexts) -> Layout:
        """The layout that the rows of a block show, or, if it has only comments, those of the next block."""
        rows = _without_marked(texts) or _without_marked(self.blocks.peek()) or texts
        return find_layout(self.path, rows, texts, self.choice)

    def _split(self, number: int, text: str, layout: Layout) -> list[str]:
        row = layout.split(text)
        if len(row) == layout.width:
            return row
        other = layout.split_otherwise(text)
        if len(other) != layout.width:
            raise self._wrong_width(number, text, row, layout)
        if not self.is_mixed:
            self.is_mixed = True
            usual, other_kind = ("tabs", "spaces")[:: 1 if layout.tabs else -1]
            logger.warning(
                f"{self.path}, line {number}: {other_kind} between columns, where lines before have {usual}: "
                f"{text!r} is read as {other}"
            )
        return other

    def _wrong_width(self, number: int, text: str, row: list[str], layout: Layout) -> DataError:
        got = f"got {len(row)}: {' '.join(row)!r}"
        if number == layout.line:
            hint = "Columns are separated by tabs or spaces, not by commas." if "," in text else ""
            return DataError(f"expected a token and a tag, {got}.", path=self.path, line=number, hint=hint)
        reference = "as named" if layout.names and not layout.header else f"as in line {layout.line}"
        hint = "A comment is a line before a sentence that begins with '#'." if text.startswith("#") else ""
        reason = f"expected {layout.width} columns, {reference}, {got}."
        return DataError(reason, path=self.path, line=number, hint=hint)

    def _log_layout(self, layout: Layout, sentence: TaggedSentence) -> None:
        def column(index: int) -> str:
            return f"column {index + 1}" + (f" ({layout.names[index]})" if layout.names else "")

        tagged = self.choice.tagged
        shown = [_printable(f"{a}/{b}" if tagged else a) for a, b in zip(*sentence, strict=True)]
        logger.info(
            f"{self.path}: {layout.width} column{'s' * (layout.width != 1)}; the token is {column(layout.token)}"
            f"{f', the tag {column(layout.tag)}' * tagged}; first sentence: "
            f"{' '.join(shown[:_SHOWN_TOKENS])}{' …' * (len(shown) > _SHOWN_TOKENS)}"
        )


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _without_marked(texts: NumberedTexts) -> NumberedTexts:
    """The lines that do not begin with `#`, and so cannot be comments."""
    return [(number, text) for number, text in texts if not text.startswith("#")]


def _texts(block: list[Line]) -> NumberedTexts:
    return [(line.number, line.text.removesuffix("\n")) for line in block]
