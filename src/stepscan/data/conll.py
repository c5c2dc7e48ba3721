"""Sentences in columns: CoNLL-U, and the older CoNLL columns (`token … tag`, a blank line between sentences)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stepscan.data.examples import TaggedSentence
from stepscan.data.lines import read_lines
from stepscan.data.tables import choose_format
from stepscan.errors import DataError, SettingsError, nearest

# The columns of one line, with its number.
Row = tuple[int, list[str]]

_FIELDS = {"form": 1, "lemma": 2, "upos": 3, "xpos": 4, "feats": 5, "deprel": 7}
_SUFFIXES = {".conllu": "conllu"}
_NAMED = {".conllu", ".conll", ".iob", ".bio", ".tsv", ".txt"}  # names that tell columns from text


def read_tagged(path: str | Path, *, format: str | None = None, field: str = "upos") -> list[TaggedSentence]:
    """Sentences whose tokens have one tag each.

    Args:
        path: the file.
        format: "conllu" (10 columns; comments, ranges such as `3-4` and empty nodes such as `8.1` are skipped), or
            "columns" (the first column is the token, the last the tag, tabs or spaces between; `-DOCSTART-` lines are
            skipped). By default `.conllu` is CoNLL-U and anything else columns.
        field: the CoNLL-U field that is the tag: form, lemma, upos, xpos, feats or deprel. A `_` is a tag like any
            other, but a field that is `_` throughout is an error.

    Raises:
        SettingsError: an unknown format or field, or a field for a file that is not CoNLL-U.
        DataError: a file that cannot be read, a line with a wrong number of columns, a word id out of order, an empty
            token or tag, a field that is nowhere filled in, or no sentence at all.
    """
    format = choose_format(path, format, _SUFFIXES, otherwise="columns")
    if field not in _FIELDS:
        raise SettingsError(f"There is no field {field!r} to tag with.{nearest(field, _FIELDS)}")
    if format == "conllu":
        return _read_conllu(path, field)
    if field != "upos":
        raise SettingsError(f"Only CoNLL-U has a field {field!r}; in CoNLL columns the last column is the tag.")
    return _read_columns(path, least=2)


def read_sentences(path: str | Path, *, format: str | None = None) -> list[list[str]]:
    """Only the tokens of sentences.

    Formats are those of `read_tagged`, where columns may be a single one, and "text", by default for `.txt`: one
    sentence a line, tokens between white space; an empty line is an empty sentence, so that outputs stay aligned.

    Raises:
        DataError: as `read_tagged`; and if neither the name nor tabs say whether the file is text or columns.
    """
    if format is None and Path(str(path).removesuffix(".gz")).suffix.lower() not in _NAMED:
        _refuse_text(path)
    format = choose_format(path, format, {**_SUFFIXES, ".txt": "text"}, otherwise="columns")
    if format == "text":
        return [line.split() for _, line in read_lines(path)]
    sentences = _read_conllu(path, "form") if format == "conllu" else _read_columns(path, least=1)
    return [sentence.tokens for sentence in sentences]


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


def _read_conllu(path: str | Path, field: str) -> list[TaggedSentence]:
    rows = [list(_words(path, block)) for block in _blocks(path)]
    sentences = _sentences(path, rows, tag=_FIELDS[field])
    if all(tag == "_" for sentence in sentences for tag in sentence.tags):
        line = next(line for sentence in rows for line, _ in sentence)
        hint = "Choose another field." if field != "form" else "Some corpora are published without their words."
        raise DataError(f"the field {field!r} is '_' in every word of the file.", path=path, line=line, hint=hint)
    return sentences


def _read_columns(path: str | Path, least: int) -> list[TaggedSentence]:
    rows = [[(line, _split(text)) for line, text in block] for block in _blocks(path)]
    first, width = next(((line, max(len(row), least)) for block in rows for line, row in block), (1, least))
    for line, row in (each for block in rows for each in block):
        if len(row) != width:
            expected = f"{width} columns, as in line {first}" if line != first else "a token and a tag"
            raise DataError(f"expected {expected}, but got {len(row)}: {' '.join(row)!r}.", path=path, line=line)
    return _sentences(path, rows, tag=-1)


def _blocks(path: str | Path) -> Iterator[list[tuple[int, str]]]:
    block: list[tuple[int, str]] = []
    for number, line in read_lines(path):
        if line.strip(" \t") and _split(line)[0] != "-DOCSTART-":
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _words(path: str | Path, block: list[tuple[int, str]]) -> Iterator[Row]:
    expected = 1
    for line, text in block:
        if text.startswith("#"):
            continue
        row = text.split("\t")
        if len(row) != 10:
            raise DataError(f"expected 10 columns with tabs between, but got {len(row)}.", path=path, line=line)
        if re.fullmatch(r"[0-9]+[-.][0-9]+", row[0]):
            continue
        if row[0] != str(expected):
            hint = "Sentences need a blank line between them." if row[0] == "1" else ""
            raise DataError(f"expected the word id {expected}, but got {row[0]!r}.", path=path, line=line, hint=hint)
        expected += 1
        yield line, row


def _split(text: str) -> list[str]:
    # Only spaces and tabs part columns: a token may be another kind of white space, such as a no-break space.
    return text.split("\t") if "\t" in text else re.split(" +", text.strip(" "))


def _sentences(path: str | Path, rows: list[list[Row]], tag: int) -> list[TaggedSentence]:
    token = 1 if tag > 0 else 0
    for line, row in (each for block in rows for each in block):
        if not (row[token] and row[tag]):
            raise DataError(f"the {'tag' if row[token] else 'token'} is empty.", path=path, line=line)
    sentences = [TaggedSentence([row[token] for _, row in block], [row[tag] for _, row in block]) for block in rows]
    sentences = [sentence for sentence in sentences if sentence.tokens]
    if not sentences:
        raise DataError("the file has no sentence.", path=path)
    return sentences
