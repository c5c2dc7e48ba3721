"""Sentences in columns: CoNLL-U, and the older CoNLL columns (`token … tag`, a blank line between sentences)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stepscan.data.arrow import is_arrow
from stepscan.data.bad_lines import BadLines, check_some, keep
from stepscan.data.examples import TaggedSentence
from stepscan.data.lines import Line, read_lines, whole_lines
from stepscan.data.tables import Column, Table, choose_format
from stepscan.errors import DataError, SettingsError, nearest

# The columns of one line, with its number.
Row = tuple[int, list[str]]

_FIELDS = {"form": 1, "lemma": 2, "upos": 3, "xpos": 4, "feats": 5, "deprel": 7}
_WORDS, _TAGS = ("words", "text"), ("ner_tags", "pos_tags", "upos", "labels")  # columns of data sets
_LISTS = "A data set has a column of lists of words, tokens, and one of their tags; name the latter with --field."
_SUFFIXES = {".conllu": "conllu"}
_NAMED = {".conllu", ".conll", ".iob", ".bio", ".tsv", ".txt"}  # names that tell columns from text


def read_tagged(
    path: str | Path, *, format: str | None = None, field: str = "upos", bad_lines: BadLines | None = None
) -> list[TaggedSentence]:
    """Sentences whose tokens have one tag each.

    Args:
        path: the file.
        format: "conllu" (10 columns; comments, ranges such as `3-4` and empty nodes such as `8.1` are skipped),
            "columns" (the first column is the token, the last the tag, tabs or spaces between; `-DOCSTART-` lines are
            skipped), or "arrow" (Parquet, `hf:NAME`: columns of lists, `tokens` and `tags`). By default the name says:
            `.conllu`, `.parquet`, `hf:`; anything else is columns.
        field: the CoNLL-U field that is the tag: form, lemma, upos, xpos, feats or deprel. A `_` is a tag like any
            other, but a field that is `_` throughout is an error.
        bad_lines: skips and counts sentences with a bad line; without it the first one is an error.

    Raises:
        SettingsError: an unknown format or field, or a field for a file that is not CoNLL-U.
        DataError: a file that cannot be read, a line with a wrong number of columns, a word id out of order, an empty
            token or tag, a field that is nowhere filled in, or no sentence at all.
    """
    format = choose_format(path, format, _SUFFIXES, otherwise="columns")
    if format == "arrow":
        return list(_of_table(path, field, bad_lines))
    if field not in _FIELDS:
        raise SettingsError(f"There is no field {field!r} to tag with.{nearest(field, _FIELDS)}")
    if format == "conllu":
        return list(_conllu(path, field, bad_lines))
    if field != "upos":
        raise SettingsError(f"Only CoNLL-U has a field {field!r}; in CoNLL columns the last column is the tag.")
    return list(_columns(path, 2, bad_lines))


def read_sentences(
    path: str | Path, *, format: str | None = None, bad_lines: BadLines | None = None
) -> list[list[str]]:
    """Only the tokens of sentences.

    Formats are those of `read_tagged`, where columns may be a single one, and "text", by default for `.txt`: one
    sentence a line, tokens between white space; an empty line is an empty sentence, so that outputs stay aligned.

    Raises:
        DataError: as `read_tagged`; and if neither the name nor tabs say whether the file is text or columns.
    """
    return list(stream_sentences(path, format=format, bad_lines=bad_lines))


def stream_sentences(
    path: str | Path, *, format: str | None = None, bad_lines: BadLines | None = None
) -> Iterator[list[str]]:
    """Like `read_sentences`, one at a time."""
    if format is None and not is_arrow(path) and Path(str(path).removesuffix(".gz")).suffix.lower() not in _NAMED:
        _refuse_text(path)
    format = choose_format(path, format, {**_SUFFIXES, ".txt": "text"}, otherwise="columns")
    if format == "arrow":
        rows = Table(path, format, (Column("tokens", None, _WORDS),), _LISTS, bad_lines).rows()
        return (_strings(tokens, "tokens", path, number) for number, (tokens,) in rows)
    if format == "text":
        return check_some((line.split() for _, line in read_lines(path, bad_lines)), path, bad_lines)
    sentences = _conllu(path, "form", bad_lines) if format == "conllu" else _columns(path, 1, bad_lines)
    return (sentence.tokens for sentence in sentences)


def _refuse_text(path: str | Path) -> None:
    """Raise if the first line that says anything looks like a sentence, of which columns would keep one word."""
    for number, line in read_lines(path):
        if line.strip():
            if "\t" not in line and len(line.split()) > 1:
                raise DataError(
                    "this may be text or columns.",
                    path=path,
                    line=number,
                    hint="Say --format text or --format columns.",
                )
            return


def _of_table(path: str | Path, field: str, bad_lines: BadLines | None) -> Iterator[TaggedSentence]:
    """Rows with a list of tokens and a list of tags, in the column that the field names, or in the only one guessed."""
    tags = Column("tags", None if field == "upos" else field, _TAGS)

    def sentence(row: tuple[int, list[object]]) -> TaggedSentence:
        number, (tokens, tags) = row
        found = TaggedSentence(*(_strings(v, role, path, number) for v, role in ((tokens, "tokens"), (tags, "tags"))))
        if len(found.tokens) != len(found.tags):
            reason = f"expected a tag a token, but got {len(found.tokens)} tokens and {len(found.tags)} tags."
            raise DataError(reason, path=path, line=number)
        return found

    rows = Table(path, "arrow", (Column("tokens", None, _WORDS), tags), _LISTS, bad_lines).rows()
    return check_some(keep(rows, sentence, bad_lines, "sentence"), path, bad_lines)


def _strings(value: object, role: str, path: str | Path, line: int) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise DataError(f"expected a list of strings as the {role}.", path=path, line=line)
    return value


def _conllu(path: str | Path, field: str, bad_lines: BadLines | None) -> Iterator[TaggedSentence]:
    first, filled = 0, False
    tag = _FIELDS[field]
    sentences = keep(_blocks(path), lambda block: _words(path, block, tag), bad_lines, "sentence")
    for rows in _some(sentences, path, bad_lines):
        first = first or rows[0][0]
        sentence = TaggedSentence([row[1] for _, row in rows], [row[tag] for _, row in rows])
        filled = filled or any(each != "_" for each in sentence.tags)
        yield sentence
    if not filled:
        hint = "Choose another field." if field != "form" else "Some corpora are published without their words."
        raise DataError(f"the field {field!r} is '_' in every word of the file.", path=path, line=first, hint=hint)


def _columns(path: str | Path, least: int, bad_lines: BadLines | None) -> Iterator[TaggedSentence]:
    first: Row | None = None

    def rows_of(block: list[Line]) -> list[Row]:
        nonlocal first
        rows = [(line.number, _split(_text(line))) for line in block]
        number, row = first or rows[0]
        width = max(len(row), least)
        for line, row in rows:
            if len(row) != width:
                expected = f"{width} columns, as in line {number}" if line != number else "a token and a tag"
                raise DataError(f"expected {expected}, but got {len(row)}: {' '.join(row)!r}.", path=path, line=line)
            _check_filled(row[0], row[-1], path, line)
        first = first or rows[0]
        return rows

    for rows in _some(keep(_blocks(path), rows_of, bad_lines, "sentence"), path, bad_lines):
        yield TaggedSentence([row[0] for _, row in rows], [row[-1] for _, row in rows])


def _some(sentences: Iterator[list[Row]], path: str | Path, bad_lines: BadLines | None) -> Iterator[list[Row]]:
    """The sentences that have words; an error if there is none."""
    found = False
    for rows in check_some(sentences, path, bad_lines):
        if rows:
            found = True
            yield rows
    if not found:
        raise DataError("the file has no sentence.", path=path)


def _blocks(path: str | Path) -> Iterator[list[Line]]:
    block: list[Line] = []
    for line in whole_lines(path):
        text = line.text.removesuffix("\n")
        if line.error or (text.strip(" \t") and _split(text)[0] != "-DOCSTART-"):
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _text(line: Line) -> str:
    if line.error:
        raise line.error
    return line.text.removesuffix("\n")


def _words(path: str | Path, block: list[Line], tag: int) -> list[Row]:
    rows: list[Row] = []
    for line in block:
        text = _text(line)
        if text.startswith("#"):
            continue
        row = text.split("\t")
        if len(row) != 10:
            reason = f"expected 10 columns with tabs between, but got {len(row)}."
            raise DataError(reason, path=path, line=line.number)
        if re.fullmatch(r"[0-9]+[-.][0-9]+", row[0]):
            continue
        if row[0] != str(len(rows) + 1):
            hint = "Sentences need a blank line between them." if row[0] == "1" else ""
            reason = f"expected the word id {len(rows) + 1}, but got {row[0]!r}."
            raise DataError(reason, path=path, line=line.number, hint=hint)
        _check_filled(row[1], row[tag], path, line.number)
        rows.append((line.number, row))
    return rows


def _check_filled(token: str, tag: str, path: str | Path, line: int) -> None:
    if not (token and tag):
        raise DataError(f"the {'tag' if token else 'token'} is empty.", path=path, line=line)


def _split(text: str) -> list[str]:
    # Only spaces and tabs part columns: a token may be another kind of white space, such as a no-break space.
    return text.split("\t") if "\t" in text else re.split(" +", text.strip(" "))
