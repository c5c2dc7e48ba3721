"""The text that a language model learns: a file as it is, or the texts in a column of a table."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path

from stepscan.data.format_detection import format_of_head, labelled_format
from stepscan.data.headers import Column, looks_numeric
from stepscan.data.lines import read_text, split_lines, stream_lines
from stepscan.data.read_options import TEXT_OPTIONS, ReadOptions, table_options
from stepscan.data.readers import stream_texts
from stepscan.errors import DataError, display_path

logger = logging.getLogger(__name__)

_SAMPLE_CHARACTERS, _SAMPLE_LINES = 10_000, 1000


def read_corpus(path: str | Path, options: ReadOptions) -> str:
    """One text: a file as it is, or the texts in a column of a table, one per line.

    Raises:
        DataError: the file cannot be read, or has no such column.
    """
    if not _is_text(path, options):
        return "\n".join(_read_column(path, options))
    text = read_text(path, options.bad_lines)
    _warn_of_other_formats(text, path, options)
    return text


def stream_corpus(path: str | Path, options: ReadOptions) -> Iterator[str]:
    """Yield the text of `read_corpus` in pieces, which end at ends of lines. Errors are those of `read_corpus`."""
    if not _is_text(path, options):
        texts = _stream_column(path, options)
        last = next(texts, "")
        for text in texts:
            yield f"{last}\n"
            last = text
        yield last
        return
    lines = stream_lines(path, options.bad_lines)
    head = list(itertools.islice(lines, _SAMPLE_LINES))
    _warn_of_other_formats("".join(head), path, options)
    yield from head
    yield from lines


def read_each_text(path: str | Path, options: ReadOptions) -> list[str]:
    """Several texts: the lines of a file, or the texts in a column of a table. Errors are those of `read_corpus`."""
    if _is_text(path, options):
        return [line.removesuffix("\n") for line in split_lines(read_corpus(path, options))]
    return _read_column(path, options)


def _is_text(path: str | Path, options: ReadOptions) -> bool:
    is_table = any(getattr(options, name) is not None for name in TEXT_OPTIONS)
    return labelled_format(path, options.format) == "lines" and not is_table


def _warn_of_other_formats(text: str, path: str | Path, options: ReadOptions) -> None:
    if options.format is None and (warning := _warning(text[:_SAMPLE_CHARACTERS])):
        logger.warning("%s: %s", display_path(path), warning)


def _warning(text: str) -> str:
    """A warning if the beginning of a text looks like data rather than text; else empty."""
    if looks_numeric(text):
        return "a table of numbers is learned as characters; to learn the numbers, train forecast"
    detected = format_of_head(split_lines(text)[:1], [Column("text", None)])
    if detected == "lines":
        return ""
    name, format = {"jsonl": ("JSON", "jsonl"), "table": ("a table", "csv"), "trees": ("brackets", "trees")}[detected]
    return f"{name} is learned as characters; to learn the texts in it, add --format {format}"


def _read_column(path: str | Path, options: ReadOptions) -> list[str]:
    return list(_stream_column(path, options))


def _stream_column(path: str | Path, options: ReadOptions) -> Iterator[str]:
    try:
        yield from stream_texts(
            path, text_column=options.text_column, bad_lines=options.bad_lines, **table_options(options)
        )
    except DataError as error:
        hint = "For series of numbers train forecast; to learn the file's characters as they are, add --format lines."
        raise DataError(error.reason, path=path, line=error.line, hint=f"{error.hint} {hint}".strip()) from None
    message = "%s: learning the texts of a column, one per line (if not: --format lines)"
    logger.info(message, display_path(path))
