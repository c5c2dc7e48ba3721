"""How the lines of CoNLL columns are split, and which of the columns are read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from stepscan.data.conll.blocks import BLANKS, NumberedTexts
from stepscan.data.headers import Column
from stepscan.errors import DataError

_TOKEN_NAMES = ("form", "token", "tokens", "word", "words", "text")  # of columns, in lower case
_TAG_NAMES = (
    *("tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "ner-tag", "entity", "slot", "chunk"),
    *("iob", "bio", "pos", "pos_tag", "pos_tags", "pos-tag", "upos", "xpos"),
)
_GLOBAL_COLUMNS = re.compile(r"#\s*global\.columns\s*=\s*(.+)")  # CoNLL-U Plus
RANGE_OR_EMPTY_NODE = re.compile(r"[0-9]+[-.][0-9]+")  # ids in CoNLL-U that are not those of words


class ColumnChoice(NamedTuple):
    """The columns to read, by name or by position from 1.

    Attributes:
        token, tag: the user's choice; None: by the names of the columns, or else the first and the last.
        tagged: whether tags are read at all.
    """

    token: str | int | None = None
    tag: str | int | None = None
    tagged: bool = True


@dataclass
class Layout:
    """How the lines of a file are split.

    Attributes:
        line: the line that showed it.
        width: the number of columns.
        tabs: whether only tabs separate columns, rather than tabs and spaces.
        token, tag: the indices (from 0) of their columns.
        names: of the columns, if there are any.
        header: the line of the header, or 0.
        ids: the index of the column that counts the tokens, if there is one.
    """

    line: int
    width: int
    tabs: bool
    token: int = 0
    tag: int = -1
    names: list[str] = field(default_factory=list)
    header: int = 0
    ids: int | None = None

    def split(self, text: str) -> list[str]:
        """The fields of a line."""
        return _without_blank_end(_split(text, self.tabs), self.width)

    def split_otherwise(self, text: str) -> list[str]:
        """The fields of a line with spaces instead of tabs, or tabs instead of spaces; none if it has no such."""
        if not self.tabs and "\t" not in text.strip(BLANKS):
            return []
        return _without_blank_end(_split(text, not self.tabs), self.width)


def find_layout(path: str | Path, rows: NumberedTexts, comments: NumberedTexts, choice: ColumnChoice) -> Layout:
    """Find the layout of a file.

    Args:
        path: the file, for errors.
        rows: its first rows.
        comments: the lines before them, which may name the columns.
        choice: the columns to read.

    Raises:
        DataError: a chosen column is not there, none of them is the token, or the rows are not columns.
    """
    _check_is_columns(path, rows)
    number, tabs = rows[0][0], _has_tabs([text for _, text in rows])
    width = len(_without_blank_end(_split(rows[0][1], tabs), 0))
    layout = Layout(number, max(width, 1 + choice.tagged), tabs)
    if match := next((match for _, text in comments if (match := _GLOBAL_COLUMNS.match(text))), None):
        layout = replace(layout, names=match[1].split(), width=len(match[1].split()))
    elif _is_header(names := layout.split(rows[0][1]), choice):
        layout = replace(layout, names=[name.strip() for name in names], header=number)
    folded = [name.casefold() for name in layout.names]
    first = [layout.split(text)[0] for line, text in rows if line != layout.header]
    counts = layout.width > 2 and _are_counts(first)
    layout.ids = folded.index("id") if "id" in folded else 0 if counts else None
    layout.token = _find_column(path, "token", choice.token, layout)
    layout.tag = _find_column(path, "tag", choice.tag, layout) if choice.tagged else layout.token
    _check_columns(path, layout, counts, choice)
    return layout


def _is_header(row: list[str], choice: ColumnChoice) -> bool:
    """Whether the first row names the columns: with names that the user chose, or usual ones."""
    names = {name.strip().casefold() for name in row}
    chosen = {name.casefold() for name in (choice.token, choice.tag) if isinstance(name, str) and not name.isdigit()}
    return len(row) > 1 and bool(names & chosen or (names & {*_TOKEN_NAMES} and names & {*_TAG_NAMES}))


def _find_column(path: str | Path, role: str, selector: str | int | None, layout: Layout) -> int:
    folded = [name.casefold() for name in layout.names]
    if selector is None:
        if role == "token":
            return next((index for index, name in enumerate(folded) if name in _TOKEN_NAMES), 0)
        if not layout.header and "upos" in folded:
            return folded.index("upos")
        return next((index for index in reversed(range(len(folded))) if folded[index] in _TAG_NAMES), layout.width - 1)
    position, option = Column(role, str(selector)).selected_position, f"--{role}-column"
    if position is not None:
        if not 1 <= position <= layout.width:
            reason = f"expected {option} from 1 to {layout.width}, the number of columns, got {position}."
            raise DataError(reason, path=path, line=layout.line)
        return position - 1
    if folded.count(str(selector).casefold()) != 1:
        names = f"the columns {', '.join(map(repr, layout.names))}" if folded else "columns without names"
        reason = f"expected one column {str(selector)!r}, got {names}."
        hint = f"Give a position: {option} 1 is the first of {layout.width}."
        raise DataError(reason, path=path, line=layout.line, hint=hint)
    return folded.index(str(selector).casefold())


def _check_columns(path: str | Path, layout: Layout, counts: bool, choice: ColumnChoice) -> None:
    if choice.tagged and layout.token == layout.tag:
        reason = f"expected a token and a tag in two columns, got column {layout.token + 1} for both."
        raise DataError(reason, path=path, line=layout.line, hint="Name the other with --tag-column.")
    if counts and layout.token == 0 and choice.token is None:
        reason = "expected a token in the first column, got numbers of tokens: 1, 2, …"
        hint = "Name the columns with --token-column and --tag-column; or, if this is CoNLL-U, add --format conllu."
        raise DataError(reason, path=path, line=layout.line, hint=hint)


def _check_is_columns(path: str | Path, rows: NumberedTexts) -> None:
    """Raise if the rows are whole sentences of joined tokens and tags, or separated by commas."""
    fields = [_split(text, tabs=False) for _, text in rows]
    several = len(rows) > 1 or len(fields[0]) > 2
    joiner = next((sign for sign in "/_|" if all(_is_joined(each, sign) for row in fields for each in row)), "")
    if several and joiner:
        got = f"tokens and tags joined by {joiner!r}: {rows[0][1].strip()[:60]!r}"
        hint = "Write each token and its tag on one line, separated by a tab, and a blank line after each sentence."
        raise DataError(f"expected one token per line, got {got}.", path=path, line=rows[0][0], hint=hint)
    if several and all(len(row) == 1 and _is_joined(row[0], "[,;]") for row in fields):
        reason = f"expected columns separated by tabs or spaces, got {rows[0][1].strip()[:60]!r}."
        hint = "Commas and semicolons do not separate columns; a blank line ends a sentence."
        raise DataError(reason, path=path, line=rows[0][0], hint=hint)


def _is_joined(field: str, sign: str) -> bool:
    return re.fullmatch(rf".+{sign if len(sign) > 1 else re.escape(sign)}.+", field) is not None


def _has_tabs(texts: list[str]) -> bool:
    """Whether only tabs separate columns, rather than tabs and spaces."""
    has_inner_tab = ["\t" in text.strip(BLANKS) for text in texts]
    if all("\t" in text for text in texts) or not any(has_inner_tab):
        return any(has_inner_tab)
    return has_inner_tab[0] and len({len(_split(text, tabs=False)) for text in texts}) > 1


def _split(text: str, tabs: bool) -> list[str]:
    if tabs:
        fields = text.split("\t")
        return [field.strip(" ") or field for field in fields] if " " in text else fields
    return re.split("[ \t]+", text.strip(BLANKS))


def _without_blank_end(row: list[str], width: int) -> list[str]:
    """The fields without empty ones beyond `width`, which come from whitespace at the end of the line."""
    while len(row) > width and len(row) > 1 and not row[-1].strip(BLANKS):
        row = row[:-1]
    return row


def _are_counts(ids: list[str]) -> bool:
    """Whether the ids of words are 1, 2, …"""
    words = [each for each in ids if not RANGE_OR_EMPTY_NODE.fullmatch(each)]
    return len(words) > 1 and words == [str(number) for number in range(1, len(words) + 1)]
