"""Files of sentences, with a tag a token or without tags: CoNLL-U, CoNLL columns, data sets, text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stepscan.data.arrow import is_arrow
from stepscan.data.bad_lines import BadLines, convert, require_some
from stepscan.data.byte_streams import is_stream, may_block
from stepscan.data.conll.blocks import blocks_of, check_filled, nonempty, text_of
from stepscan.data.conll.columns import read_columns
from stepscan.data.conll.layout import Chosen
from stepscan.data.conll.text_or_columns import is_json, likely_format, refuse_text, watched
from stepscan.data.example_types import TaggedSentence
from stepscan.data.lines import Line, read_lines
from stepscan.data.tables import TABLE_SUFFIXES, Column, Table, choose_format, json_kind
from stepscan.errors import DataError, SettingsError, nearest

_FIELDS = {"form": 1, "lemma": 2, "upos": 3, "xpos": 4, "feats": 5, "deprel": 7}
_WORDS = ("words", "text")  # names of lists in JSON Lines and data sets
_TAGS = ("ner_tags", "pos_tags", "chunk_tags", "upos", "labels", "ner", "slots")
_LISTS = (
    "JSON Lines and data sets have a list of words, tokens, and one of their tags; name them with --token-column and "
    "--tag-column."
)
_SUFFIXES = {".conllu": "conllu", **{suffix: kind for suffix, kind in TABLE_SUFFIXES.items() if kind == "jsonl"}}
_TABLES = {"jsonl", "arrow"}  # whose rows hold lists
_NAMED = {*_SUFFIXES, ".conllup", ".conll", ".iob", ".iob2", ".bio", ".tsv", ".txt"}  # tell columns from text


def read_tagged(
    path: str | Path,
    *,
    format: str | None = None,
    field: str = "upos",
    token_column: str | int | None = None,
    tag_column: str | int | None = None,
    bad_lines: BadLines | None = None,
) -> list[TaggedSentence]:
    """Sentences whose tokens have one tag each.

    Args:
        path: the file.
        format: "conllu" (10 columns; comments, ranges such as `3-4` and empty nodes such as `8.1` are skipped),
            "columns" (tabs or spaces between; skipped are `-DOCSTART-` and comments, lines before a sentence that begin
            with `#` and do not have its columns), "jsonl" (an object a line, with the lists `tokens` and `tags`), or
            "arrow" (Parquet, `hf:NAME`: columns of such lists). By default the name says: `.conllu`, `.jsonl`, `.json`,
            `.ndjson`, `.parquet`, `hf:`; anything else is columns.
        field: the CoNLL-U field that is the tag: form, lemma, upos, xpos, feats or deprel. A `_` is a tag like any
            other, but a field that is `_` throughout is an error.
        token_column, tag_column: of columns: positions from 1, or names from a first line of names or from
            `# global.columns = …` (CoNLL-U Plus); by default the first and the last, or those whose names say so. Of
            data sets: names.
        bad_lines: skips and counts sentences with a bad line; without it the first one is an error.

    Raises:
        SettingsError: an unknown format or field, a field for a file that is not CoNLL-U, or columns for one that is.
        DataError: a file that cannot be read, a line with a wrong number of columns, a word id out of order, an empty
            token or tag, a field that is nowhere filled in, or no sentence at all.
    """
    if format is None and (is_stream(path) or _suffix(path) == ".txt") and is_json(path):
        format = "jsonl"
    format = choose_format(path, format, _SUFFIXES, otherwise="columns")
    if format in _TABLES:
        return list(_of_table(path, format, token_column, _one_of(tag_column, field), bad_lines))
    if field not in _FIELDS:
        raise SettingsError(f"There is no field {field!r} to tag with.{nearest(field, _FIELDS)}")
    if format == "conllu":
        _refuse_columns(path, token_column, tag_column)
        return list(_conllu(path, field, bad_lines))
    if field != "upos":
        raise SettingsError(
            f"Only CoNLL-U has a field {field!r}; in CoNLL columns the last column is the tag: name another with "
            "--tag-column."
        )
    return list(read_columns(path, Chosen(token_column, tag_column), bad_lines))


def read_sentences(
    path: str | Path,
    *,
    format: str | None = None,
    token_column: str | int | None = None,
    bad_lines: BadLines | None = None,
) -> list[list[str]]:
    """Only the tokens of sentences.

    Formats are those of `read_tagged`, where columns may be a single one, and "text": one sentence a line, tokens
    between white space; an empty line is an empty sentence, so that outputs stay aligned. A `.txt` file or a stream is
    text, unless it begins with a JSON object or tabs divide its lines.

    Raises:
        DataError: as `read_tagged`; and if neither the name nor tabs say whether the file is text or columns, or if
            text has as many fields in every line and blank lines between blocks, as columns have.
    """
    return list(stream_sentences(path, format=format, token_column=token_column, bad_lines=bad_lines))


def stream_sentences(
    path: str | Path,
    *,
    format: str | None = None,
    token_column: str | int | None = None,
    bad_lines: BadLines | None = None,
) -> Iterator[list[str]]:
    """Like `read_sentences`, one at a time."""
    if format is None and not is_arrow(path):
        suffix = _suffix(path)
        if suffix == ".txt" or (suffix not in _NAMED and is_stream(path)):
            format = likely_format(path)
        elif suffix not in _NAMED:
            refuse_text(path)
    format = choose_format(path, format, {**_SUFFIXES, ".txt": "text"}, otherwise="columns")
    if format in _TABLES:
        rows = Table(path, format, (Column("tokens", token_column, _WORDS),), _LISTS, bad_lines).rows()
        return (_strings(tokens, "tokens", path, number) for number, (tokens,) in rows)
    if format == "columns":
        chosen = Chosen(token_column, tagged=False)
        return (sentence.tokens for sentence in read_columns(path, chosen, bad_lines))
    _refuse_columns(path, token_column)
    if format == "text":
        texts: Iterator[str] = (line for _, line in read_lines(path, bad_lines))
        texts = watched(texts, path) if may_block(path) else texts
        return require_some((text.split() for text in texts), path, bad_lines)
    return (sentence.tokens for sentence in _conllu(path, "form", bad_lines))


def _suffix(path: str | Path) -> str:
    return Path(str(path).removesuffix(".gz")).suffix.lower()


def _one_of(tag_column: str | int | None, field: str) -> str | int | None:
    """What names the column of tags in a data set."""
    if tag_column is not None and field != "upos":
        raise SettingsError(f"expected --tag-column or --field, but got both: {tag_column!r} and {field!r}")
    return tag_column if field == "upos" else field


def _refuse_columns(path: str | Path, *columns: str | int | None) -> None:
    """Raise if columns were named for a file that has none to name."""
    if named := [one for one in columns if one is not None]:
        raise SettingsError(
            f"--token-column and --tag-column are for CoNLL columns, but {path} is read as CoNLL-U, whose tag --field "
            f"names, or as text; got {named[0]!r}. To read it as columns, give --format columns."
        )


def _of_table(
    path: str | Path,
    format: str,
    token_column: str | int | None,
    tag_column: str | int | None,
    bad_lines: BadLines | None,
) -> Iterator[TaggedSentence]:
    """Rows with a list of tokens and a list of tags, in the columns named, or in the only ones guessed."""
    columns = Column("tokens", token_column, _WORDS), Column("tags", tag_column, _TAGS)

    def sentence(row: tuple[int, list[object]]) -> TaggedSentence:
        number, (tokens, tags) = row
        found = TaggedSentence(*(_strings(v, role, path, number) for v, role in ((tokens, "tokens"), (tags, "tags"))))
        if len(found.tokens) != len(found.tags):
            reason = f"expected a tag a token, but got {len(found.tokens)} tokens and {len(found.tags)} tags."
            raise DataError(reason, path=path, line=number)
        return found

    rows = Table(path, format, columns, _LISTS, bad_lines).rows()
    return require_some(convert(rows, sentence, bad_lines, "sentence"), path, bad_lines)


def _strings(value: object, role: str, path: str | Path, line: int) -> list[str]:
    if not isinstance(value, list):
        raise DataError(f"expected a list of strings as the {role}, but got {json_kind(value)}.", path=path, line=line)
    for number, one in enumerate(value, start=1):
        if not isinstance(one, str) or not one:
            got = f"{json_kind(one)} ({one!r})" if one != "" else "an empty one"
            reason = f"expected a list of strings as the {role}, but item {number} is {got}."
            hint = "Replace numbers by the names that they stand for." if isinstance(one, int) else ""
            raise DataError(reason, path=path, line=line, hint=hint)
    return value


def _conllu(path: str | Path, field: str, bad_lines: BadLines | None) -> Iterator[TaggedSentence]:
    first, filled = 0, False
    tag = _FIELDS[field]

    def sentence(block: list[Line]) -> TaggedSentence:
        nonlocal first
        rows = _words(path, block, tag)
        first = first or (rows[0][0] if rows else 0)
        return TaggedSentence([row[1] for _, row in rows], [row[tag] for _, row in rows])

    for one in nonempty(convert(blocks_of(path), sentence, bad_lines, "sentence"), path, bad_lines):
        filled = filled or any(each != "_" for each in one.tags)
        yield one
    if not filled:
        hint = "Choose another field." if field != "form" else "Some corpora are published without their words."
        raise DataError(f"the field {field!r} is '_' in every word of the file.", path=path, line=first, hint=hint)


def _words(path: str | Path, block: list[Line], tag: int) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    for line in block:
        text = text_of(line)
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
        check_filled(row[1], row[tag], path, line.number)
        rows.append((line.number, row))
    return rows
