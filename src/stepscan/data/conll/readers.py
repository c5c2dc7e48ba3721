"""Files of sentences, with or without a tag per token: CoNLL-U, CoNLL columns, JSON Lines, data sets, text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stepscan.data.arrow import is_arrow
from stepscan.data.bad_lines import BadLines, convert, require_some
from stepscan.data.byte_streams import is_stream, may_block
from stepscan.data.conll.blocks import line_text, read_blocks, require_sentences, require_token_and_tag
from stepscan.data.conll.columns import read_columns
from stepscan.data.conll.layout import RANGE_OR_EMPTY_NODE, ColumnChoice
from stepscan.data.conll.text_or_columns import detect_sentence_format, is_json, refuse_text, warn_of_columns
from stepscan.data.example_types import TaggedSentence
from stepscan.data.file_formats import TABLE_SUFFIXES, choose_format
from stepscan.data.headers import Column
from stepscan.data.input_columns import LISTS_HINT, require_strings
from stepscan.data.input_columns import token_column as input_column
from stepscan.data.lines import Line, read_lines
from stepscan.data.tables import Table
from stepscan.data.whole_files import as_list
from stepscan.errors import DataError, SettingsError, nearest

_FIELDS = {"form": 1, "lemma": 2, "upos": 3, "xpos": 4, "feats": 5, "deprel": 7}
_TAG_NAMES = ("ner_tags", "pos_tags", "chunk_tags", "upos", "labels", "ner", "slots")
_SUFFIXES = {".conllu": "conllu", **{suffix: kind for suffix, kind in TABLE_SUFFIXES.items() if kind == "jsonl"}}
_LIST_FORMATS = {"jsonl", "arrow"}  # whose rows hold lists
_KNOWN_SUFFIXES = {*_SUFFIXES, ".conllup", ".conll", ".iob", ".iob2", ".bio", ".tsv", ".txt"}


def stream_tagged(
    path: str | Path,
    *,
    format: str | None = None,
    field: str = "upos",
    token_column: str | int | None = None,
    tag_column: str | int | None = None,
    bad_lines: BadLines | None = None,
) -> Iterator[TaggedSentence]:
    """Yield sentences with one tag per token.

    Args:
        path: the file.
        format: "conllu" (10 columns; comments, ranges such as `3-4` and empty nodes such as `8.1` are skipped);
            "columns" (separated by tabs or spaces; `-DOCSTART-` and comments are skipped: lines before a sentence that
            begin with `#` and do not have its columns); "jsonl" (one object per line, with the lists `tokens` and
            `tags`); or "arrow" (Parquet, `hf:NAME`: columns of such lists). None: by the name (`.conllu`, `.jsonl`,
            `.json`, `.ndjson`, `.parquet`, `hf:`); any other file is "columns".
        field: the CoNLL-U field to read as the tag: form, lemma, upos, xpos, feats or deprel. `_` is read as a tag like
            others, but a field that is `_` in every word is an error.
        token_column, tag_column: in "columns": positions from 1, or names from the first line or from
            `# global.columns = …` (CoNLL-U Plus); None: by their names, or else the first and the last. In "jsonl" and
            "arrow": names.
        bad_lines: skips and counts sentences with a bad line; without it the first one is an error.

    Raises:
        SettingsError: an unknown format or field, a field for a file that is not CoNLL-U, or columns for one that is.
        DataError: the file cannot be read or has no sentence, a line has a wrong number of columns, a word id is out of
            order, a token or tag is empty, or the field is `_` in every word.
    """
    if format is None and (is_stream(path) or _suffix(path) == ".txt") and is_json(path):
        format = "jsonl"
    format = choose_format(path, format, _SUFFIXES, otherwise="columns")
    if format in _LIST_FORMATS:
        return _read_lists(path, format, token_column, _tag_list(tag_column, field), bad_lines)
    if field not in _FIELDS:
        raise SettingsError(f"unknown CoNLL-U field {field!r}.{nearest(field, _FIELDS)}")
    if format == "conllu":
        _refuse_columns(path, token_column, tag_column)
        return _read_conllu(path, field, bad_lines)
    if field != "upos":
        raise SettingsError(
            f"--field {field}: expected CoNLL-U, got columns in {path}, where the last column is the tag; choose "
            "another with --tag-column."
        )
    return read_columns(path, ColumnChoice(token_column, tag_column), bad_lines)


read_tagged = as_list(stream_tagged)


def read_sentences(
    path: str | Path,
    *,
    format: str | None = None,
    token_column: str | int | None = None,
    bad_lines: BadLines | None = None,
) -> list[list[str]]:
    """Read the tokens of sentences.

    Formats are those of `read_tagged`, where "columns" may have a single one, and "text": one sentence per line, split
    at whitespace; an empty line is an empty sentence, so that outputs stay aligned. A `.txt` file or a stream is
    "text", unless it begins with a JSON object or tabs separate its lines.

    Raises:
        SettingsError: an unknown format, or columns for a file that has none.
        DataError: as `read_tagged`; and if the file may be text or columns: neither its name nor tabs tell it, or all
            lines of text have the same number of fields, with blank lines between blocks.
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
        if suffix == ".txt" or (suffix not in _KNOWN_SUFFIXES and is_stream(path)):
            format = detect_sentence_format(path)
        elif suffix not in _KNOWN_SUFFIXES:
            refuse_text(path)
    format = choose_format(path, format, {**_SUFFIXES, ".txt": "text"}, otherwise="columns")
    if format in _LIST_FORMATS:
        table = Table(path, format, (input_column(token_column),), LISTS_HINT, bad_lines)
        return (require_strings(tokens, "tokens", path, number) for number, (tokens,) in table.rows())
    if format == "columns":
        choice = ColumnChoice(token_column, tagged=False)
        return (sentence.tokens for sentence in read_columns(path, choice, bad_lines))
    _refuse_columns(path, token_column)
    if format == "text":
        texts: Iterator[str] = (line for _, line in read_lines(path, bad_lines))
        texts = warn_of_columns(texts, path) if may_block(path) else texts
        return require_some((text.split() for text in texts), path, bad_lines)
    return (sentence.tokens for sentence in _read_conllu(path, "form", bad_lines))


def _suffix(path: str | Path) -> str:
    return Path(str(path).removesuffix(".gz")).suffix.lower()


def _tag_list(tag_column: str | int | None, field: str) -> str | int | None:
    """The name of the list of tags in a data set, which either option may give."""
    if tag_column is not None and field != "upos":
        raise SettingsError(f"expected --tag-column or --field, got both: {tag_column!r} and {field!r}")
    return tag_column if field == "upos" else field


def _refuse_columns(path: str | Path, *columns: str | int | None) -> None:
    """Raise if a column is chosen for a file that is not read as columns."""
    if chosen := [column for column in columns if column is not None]:
        raise SettingsError(
            f"--token-column and --tag-column: expected CoNLL columns, got CoNLL-U (whose tag --field chooses) or text "
            f"in {path}, and column {chosen[0]!r}; to read it as columns, add --format columns."
        )


def _read_lists(
    path: str | Path,
    format: str,
    token_column: str | int | None,
    tag_column: str | int | None,
    bad_lines: BadLines | None,
) -> Iterator[TaggedSentence]:
    """Yield the sentences of rows that hold a list of tokens and a list of tags."""
    columns = input_column(token_column), Column("tags", tag_column, _TAG_NAMES)

    def sentence(row: tuple[int, list[object]]) -> TaggedSentence:
        number, (token_list, tag_list) = row
        tokens = require_strings(token_list, "tokens", path, number)
        tags = require_strings(tag_list, "tags", path, number)
        if len(tokens) != len(tags):
            reason = f"expected one tag per token, got {len(tokens)} tokens and {len(tags)} tags."
            raise DataError(reason, path=path, line=number)
        return TaggedSentence(tokens, tags)

    rows = Table(path, format, columns, LISTS_HINT, bad_lines).rows()
    return require_some(convert(rows, sentence, bad_lines, "sentence"), path, bad_lines)


def _read_conllu(path: str | Path, field: str, bad_lines: BadLines | None) -> Iterator[TaggedSentence]:
    first_line, has_tags = 0, False
    tag = _FIELDS[field]

    def sentence(block: list[Line]) -> TaggedSentence:
        nonlocal first_line
        rows = _read_words(path, block, tag)
        first_line = first_line or (rows[0][0] if rows else 0)
        return TaggedSentence([row[1] for _, row in rows], [row[tag] for _, row in rows])

    sentences = convert(read_blocks(path), sentence, bad_lines, "sentence")
    for each in require_sentences(sentences, path, bad_lines):
        has_tags = has_tags or any(name != "_" for name in each.tags)
        yield each
    if not has_tags:
        hint = "Choose another field." if field != "form" else "Some corpora are published without their words."
        reason = f"expected the field {field!r} to be filled, got '_' in every word of the file."
        raise DataError(reason, path=path, line=first_line, hint=hint)


def _read_words(path: str | Path, block: list[Line], tag: int) -> list[tuple[int, list[str]]]:
    """The fields of each word of a sentence, with their lines."""
    rows: list[tuple[int, list[str]]] = []
    for line in block:
        text = line_text(line)
        if text.startswith("#"):
            continue
        row = text.split("\t")
        if len(row) != 10:
            reason = f"expected 10 columns separated by tabs, got {len(row)}."
            raise DataError(reason, path=path, line=line.number)
        if RANGE_OR_EMPTY_NODE.fullmatch(row[0]):
            continue
        if row[0] != str(len(rows) + 1):
            hint = "Separate sentences by a blank line." if row[0] == "1" else ""
            reason = f"expected the word id {len(rows) + 1}, got {row[0]!r}."
            raise DataError(reason, path=path, line=line.number, hint=hint)
        require_token_and_tag(row[1], row[tag], path, line.number)
        rows.append((line.number, row))
    return rows
