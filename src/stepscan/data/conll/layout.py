"""How the lines of CoNLL columns are divided, and which of the columns are read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from stepscan.data.conll.blocks import BLANKS, Texts
from stepscan.data.tables import Column
from stepscan.errors import DataError

_TOKENS = ("form", "token", "tokens", "word", "words", "text")  # names of columns, in lower case
_TAGS = (
    *("tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "ner-tag", "entity", "slot", "chunk"),
    *("iob", "bio", "pos", "pos_tag", "pos_tags", "pos-tag", "upos", "xpos"),
)
_GLOBAL = re.compile(r"#\s*global\.columns\s*=\s*(.+)")  # CoNLL-U Plus
NOT_A_WORD = re.compile(r"[0-9]+[-.][0-9]+")  # ids of ranges and empty nodes in CoNLL-U


class Chosen(NamedTuple):
    """Which columns are read: names or positions from 1; None leaves the choice to the reader."""

    token: str | int | None = None
    tag: str | int | None = None
    tagged: bool = True  # whether tags are read at all


@dataclass
class Layout:
    """How the lines of a file are divided."""

    line: int  # where that was seen
    width: int
    tabs: bool
    token: int = 0
    tag: int = -1
    names: list[str] = field(default_factory=list)
    header: int = 0  # its line, if the first line names the columns
    ids: int | None = None  # the column that counts the tokens

    def fields(self, text: str) -> list[str]:
        return _without_end(_split(text, self.tabs), self.width)

    def other_fields(self, text: str) -> list[str]:
        """Where blanks are in place of tabs, or tabs in place of blanks; none, where there are none."""
        if not self.tabs and "\t" not in text.strip(BLANKS):
            return []
        return _without_end(_split(text, not self.tabs), self.width)


def find_layout(path: str | Path, rows: Texts, comments: Texts, chosen: Chosen) -> Layout:
    """What the first rows of a file, and the comments before them, say.

    Raises:
        DataError: a column that was asked for is not there, none of them is the token, or these are no columns.
    """
    _check_is_columns(path, rows)
    number, tabs = rows[0][0], _has_tabs([text for _, text in rows])
    width = len(_without_end(_split(rows[0][1], tabs), 0))
    layout = Layout(number, max(width, 1 + chosen.tagged), tabs)
    if named := next((match for _, text in comments if (match := _GLOBAL.match(text))), None):
        layout = replace(layout, names=named[1].split(), width=len(named[1].split()))
    elif _is_header(names := layout.fields(rows[0][1]), chosen):
        layout = replace(layout, names=[name.strip() for name in names], header=number)
    folded = [name.casefold() for name in layout.names]
    first = [layout.fields(text)[0] for line, text in rows if line != layout.header]
    counts = layout.width > 2 and _count(first)
    layout.ids = folded.index("id") if "id" in folded else 0 if counts else None
    layout.token = _place(path, "token", chosen.token, layout)
    layout.tag = _place(path, "tag", chosen.tag, layout) if chosen.tagged else layout.token
    _check_places(path, layout, counts, chosen)
    return layout


def _is_header(row: list[str], chosen: Chosen) -> bool:
    """Whether the first row names the columns: those that were asked for by name, or the usual ones."""
    names = {name.strip().casefold() for name in row}
    asked = {str(one).casefold() for one in chosen[:2] if isinstance(one, str) and not one.isdigit()}
    return len(row) > 1 and bool(names & asked or (names & {*_TOKENS} and names & {*_TAGS}))


def _place(path: str | Path, role: str, wanted: str | int | None, layout: Layout) -> int:
    folded = [name.casefold() for name in layout.names]
    if wanted is None:
        if role == "token":
            return next((place for place, name in enumerate(folded) if name in _TOKENS), 0)
        if not layout.header and "upos" in folded:
            return folded.index("upos")
        return next((place for place in reversed(range(len(folded))) if folded[place] in _TAGS), layout.width - 1)
    position, option = Column(role, str(wanted)).position, f"--{role}-column"
    if position is not None:
        if not 1 <= position <= layout.width:
            reason = f"expected {option} from 1 to {layout.width}, the columns here, but got {position}."
            raise DataError(reason, path=path, line=layout.line)
        return position - 1
    if folded.count(str(wanted).casefold()) != 1:
        has = f"the columns are {', '.join(map(repr, layout.names))}" if folded else "the columns have no names here"
        reason = f"expected one column {str(wanted)!r}, but {has}."
        hint = f"Give a position: {option} 1 is the first of {layout.width}."
        raise DataError(reason, path=path, line=layout.line, hint=hint)
    return folded.index(str(wanted).casefold())


def _check_places(path: str | Path, layout: Layout, counts: bool, chosen: Chosen) -> None:
    if chosen.tagged and layout.token == layout.tag:
        reason = f"expected a token and a tag in two columns, but both are column {layout.token + 1}."
        raise DataError(reason, path=path, line=layout.line, hint="Name the other with --tag-column.")
    if counts and layout.token == 0 and chosen.token is None:
        reason = "expected a token in the first column, but it counts the tokens: 1, 2, …"
        hint = "Name the columns with --token-column and --tag-column; or, if this is CoNLL-U, give --format conllu."
        raise DataError(reason, path=path, line=layout.line, hint=hint)


def _check_is_columns(path: str | Path, rows: Texts) -> None:
    """Raise if the rows are whole sentences of joined tokens and tags, or divided by commas."""
    split = [_split(text, tabs=False) for _, text in rows]
    several = len(rows) > 1 or len(split[0]) > 2
    joined = next((sign for sign in "/_|" if all(_is_joined(one, sign) for row in split for one in row)), "")
    if several and joined:
        reason = f"expected a token a line, but got tokens and tags joined by {joined!r}: {rows[0][1].strip()[:60]!r}."
        hint = "Write each token and its tag on a line, with a tab between, and a blank line after each sentence."
        raise DataError(reason, path=path, line=rows[0][0], hint=hint)
    if several and all(len(row) == 1 and _is_joined(row[0], "[,;]") for row in split):
        reason = f"expected columns separated by tabs or blanks, but got {rows[0][1].strip()[:60]!r}."
        hint = "Commas and semicolons do not separate them; a blank line ends a sentence."
        raise DataError(reason, path=path, line=rows[0][0], hint=hint)


def _is_joined(field: str, sign: str) -> bool:
    return re.fullmatch(rf".+{sign if len(sign) > 1 else re.escape(sign)}.+", field) is not None


def _has_tabs(texts: list[str]) -> bool:
    """Whether tabs alone separate columns, rather than any blanks."""
    inner = ["\t" in text.strip(BLANKS) for text in texts]
    if all("\t" in text for text in texts) or not any(inner):
        return any(inner)
    return inner[0] and len({len(_split(text, tabs=False)) for text in texts}) > 1


def _split(text: str, tabs: bool) -> list[str]:
    if tabs:
        fields = text.split("\t")
        return [field.strip(" ") or field for field in fields] if " " in text else fields
    return re.split("[ \t]+", text.strip(BLANKS))


def _without_end(row: list[str], width: int) -> list[str]:
    """Without what blanks at the end of a line seem to add to `width` columns."""
    while len(row) > width and len(row) > 1 and not row[-1].strip(BLANKS):
        row = row[:-1]
    return row


def _count(ids: list[str]) -> bool:
    words = [one for one in ids if not NOT_A_WORD.fullmatch(one)]
    return len(words) > 1 and words == [str(number) for number in range(1, len(words) + 1)]
