"""CoNLL columns: a token a line, its annotations in further columns, and which of them are read."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from stepscan.data.bad_lines import BadLines, convert
from stepscan.data.conll.blocks import Texts, blocks_of, check_filled, nonempty, text_of
from stepscan.data.conll.comments import Comments
from stepscan.data.conll.layout import NOT_A_WORD, Chosen, Layout, find_layout
from stepscan.data.example_types import TaggedSentence
from stepscan.data.lines import Line
from stepscan.errors import DataError

logger = logging.getLogger(__name__)

_SHOWN = 8  # tokens of the first sentence
_ENOUGH = 5  # rows that tell whether a column holds tokens


def read_columns(path: str | Path, chosen: Chosen, bad_lines: BadLines | None) -> Iterator[TaggedSentence]:
    """Sentences out of CoNLL columns; see `stepscan.data.conll.readers.read_tagged`. What is read is logged once."""
    blocks = _Blocks(blocks_of(path))
    reader, filled = _Reader(path, chosen, blocks), not chosen.tagged
    for sentence in nonempty(convert(blocks, reader.sentence, bad_lines, "sentence"), path, bad_lines):
        filled = filled or any(tag != "_" for tag in sentence.tags)
        yield sentence
    reader.check_tokens()
    if not filled:
        column = reader.layout.tag + 1 if reader.layout else 0
        reason, hint = f"the tag, column {column}, is '_' in every row of the file.", "Name another with --tag-column."
        raise DataError(reason, path=path, hint=hint)


class _Blocks:
    """Blocks one after the other, with a look ahead where one alone does not tell how it is to be read."""

    def __init__(self, blocks: Iterable[list[Line]]) -> None:
        self._blocks, self._held = iter(blocks), deque[list[Line]]()

    def __iter__(self) -> Iterator[list[Line]]:
        while block := self._held.popleft() if self._held else next(self._blocks, None):
            yield block

    def ahead(self) -> Texts:
        """The lines of the next block that has any but those with a `#`; of none, nothing."""
        for block in self._held:
            if _rows(texts := _texts(block)):
                return texts
        for block in self._blocks:
            self._held.append(block)
            if _rows(texts := _texts(block)):
                return texts
        return []


class _Reader:
    """Makes sentences of blocks. The first good one fixes how lines are divided."""

    def __init__(self, path: str | Path, chosen: Chosen, blocks: _Blocks) -> None:
        self.path, self.chosen, self.blocks = path, chosen, blocks
        self.layout: Layout | None = None
        self.comments = Comments(path, blocks.ahead)
        self.is_mixed = False
        self.rows, self.differ = 0, False  # rows in sentences of several; whether tokens of any of those differ

    def sentence(self, block: list[Line]) -> TaggedSentence:
        texts = [(line.number, text_of(line)) for line in block]
        layout = self.layout or self._layout(texts)
        texts = [one for one in texts if one[0] != layout.header]
        comments = self.comments.count(texts, layout)
        rows = [(number, self._row(number, text, layout)) for number, text in texts[comments:]]
        if layout.ids is not None:
            rows = [(number, row) for number, row in rows if not NOT_A_WORD.fullmatch(row[layout.ids])]
        self.comments.known.update(row[-1] for _, row in rows)
        for number, row in rows:
            check_filled(row[layout.token], row[layout.tag], self.path, number)
            self._check_one_tag(row, number, layout)
        sentence = TaggedSentence([row[layout.token] for _, row in rows], [row[layout.tag] for _, row in rows])
        if len(rows) > 1:
            self.rows += len(rows)
            self.differ = self.differ or len(set(sentence.tokens)) > 1
        if rows and self.layout is None:
            self.layout = layout
            self._say(layout, sentence)
        return sentence

    def check_tokens(self) -> None:
        """Raise if the column that was taken for the token's, unasked, says the same in all rows of each sentence."""
        if self.layout and self.rows >= _ENOUGH and not self.differ and self.chosen.token is None:
            column, width = self.layout.token + 1, self.layout.width
            if width > 1 + self.chosen.tagged:
                reason = f"expected the token in column {column} of {width}, but it is the same in each sentence."
                raise DataError(reason, path=self.path, hint="Name the token's with --token-column.")

    def _check_one_tag(self, row: list[str], number: int, layout: Layout) -> None:
        token, tag = row[layout.token], row[layout.tag] if self.chosen.tagged else row[-1]
        if " " in tag and layout.width > 1 and len(token.split()) == len(tag.split()):
            reason = f"expected a token and its tag, but got {len(tag.split())} of each: {token[:40]!r}, {tag[:40]!r}."
            hint = "Write each token and its tag on a line of their own, and a blank line after each sentence."
            raise DataError(reason, path=self.path, line=number, hint=hint)

    def _layout(self, texts: Texts) -> Layout:
        """What the first rows say; where a block has none, those of the next that has."""
        rows = _rows(texts) or _rows(self.blocks.ahead()) or texts
        return find_layout(self.path, rows, texts, self.chosen)

    def _row(self, number: int, text: str, layout: Layout) -> list[str]:
        row = layout.fields(text)
        if len(row) == layout.width:
            return row
        other = layout.other_fields(text)
        if len(other) != layout.width:
            raise self._wrong_width(number, text, row, layout)
        if not self.is_mixed:
            self.is_mixed = True
            ours, theirs = ("tabs", "blanks")[:: 1 if layout.tabs else -1]
            logger.warning(
                f"{self.path}, line {number}: {theirs} between columns where lines before have {ours}: "
                f"{text!r} is read as {other}"
            )
        return other

    def _wrong_width(self, number: int, text: str, row: list[str], layout: Layout) -> DataError:
        if number == layout.line:
            reason = f"expected a token and a tag, but got {len(row)}: {' '.join(row)!r}."
            hint = "Columns are separated by tabs or blanks, not by commas." if "," in text else ""
            return DataError(reason, path=self.path, line=number, hint=hint)
        as_in = "as named" if layout.names and not layout.header else f"as in line {layout.line}"
        reason = f"expected {layout.width} columns, {as_in}, but got {len(row)}: {' '.join(row)!r}."
        hint = "A comment is a line before a sentence that begins with '#'." if text.startswith("#") else ""
        return DataError(reason, path=self.path, line=number, hint=hint)

    def _say(self, layout: Layout, sentence: TaggedSentence) -> None:
        def column(place: int) -> str:
            return f"column {place + 1}" + (f" ({layout.names[place]})" if layout.names else "")

        tagged = self.chosen.tagged
        shown = [_printable(f"{a}/{b}" if tagged else a) for a, b in zip(*sentence, strict=True)]
        logger.info(
            f"{self.path}: {layout.width} column{'s' * (layout.width != 1)}; the token is {column(layout.token)}"
            f"{f', the tag {column(layout.tag)}' * tagged}; first sentence: "
            f"{' '.join(shown[:_SHOWN])}{' …' * (len(shown) > _SHOWN)}"
        )


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _rows(texts: Texts) -> Texts:
    """Lines that cannot be comments."""
    return [(number, text) for number, text in texts if not text.startswith("#")]


def _texts(block: list[Line]) -> Texts:
    return [(line.number, line.text.removesuffix("\n")) for line in block]
