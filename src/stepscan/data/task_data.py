"""From files to what a task's model takes."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stepscan.data.bad_lines import BadLines
from stepscan.data.format_detection import kind_of_texts, labelled_format
from stepscan.data.headers import Column, looks_numeric
from stepscan.data.labels import LABELS, agreed, each_label, question
from stepscan.data.lines import read_text, split_lines
from stepscan.data.readers import (
    read_labelled,
    read_parallel,
    read_tagged,
    read_texts,
    stream_sentences,
    stream_sources,
    stream_texts,
)
from stepscan.data.series.readers import (
    LabelledSeries,
    read_histories,
    read_labelled_series,
    read_tagged_series,
    series_format,
    stream_labelled_series,
    stream_tagged_series,
)
from stepscan.data.series.time_step import TimeOptions
from stepscan.errors import DataError, SettingsError, place_of

logger = logging.getLogger(__name__)

Files = Sequence[str | Path]


class ReadOptions(NamedTuple):
    """How data files are to be read, where their names do not say it."""

    format: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    source_column: str | None = None
    target_column: str | None = None
    delimiter: str | None = None  # what separates fields of CSV and TSV; None: as the first lines show
    header: bool | None = None  # whether the first row of CSV and TSV names the columns; None: as it looks
    field: str = "upos"
    token_column: str | None = None
    tag_column: str | None = None
    decision: str = "class"  # what a classifier decides; see `stepscan.data.labels`
    time_column: str | None = None  # of numbers, as the next five; see `stepscan.data.series.time_step.TimeOptions`
    ignore_time: bool = False
    sort: bool = False
    fill: str | None = None
    day_first: bool | None = None
    step: str = ""
    series_column: str | None = None
    bad_lines: BadLines | None = None  # counts what it skips; without it the first bad line is an error

    @property
    def times(self) -> TimeOptions:
        return TimeOptions(
            self.time_column, self.ignore_time, self.sort, self.fill, self.day_first, self.step, self.series_column
        )

    def non_default(self, without: Collection[str] = ()) -> list[str]:
        """The options of the command line that ask for something, but for those whose fields are named."""
        names = [name for name, default in self._field_defaults.items() if getattr(self, name) != default]
        return [self._option(name) for name in names if name not in {"bad_lines", *without}]

    def _option(self, name: str) -> str:
        denied = {"header": "no_header", "day_first": "month_first"} if getattr(self, name) is False else {}
        return f"--{denied.get(name, name).replace('_', '-')}"


def read_examples(
    task: str,
    files: Files,
    reading: ReadOptions = ReadOptions(),  # noqa: B008
    known: Collection[Any] | None = None,
    *,
    each: bool = False,
) -> tuple[Any, ...]:
    """What `fit` and `score` of the task's model take, out of one file (translate: one or two).

    Args:
        known: classify: the labels that were learned already, as which others are read that differ from them in
            spelling alone. Without them the labels are to be learned, and what is odd about them is logged.
        each: generate: each line or row of a column by itself, in place of one text.

    Returns:
        classify: texts or series, labels; tag: sentences or series, tag sequences; translate: sources, targets;
        generate: (text,), (texts,) with `each`, or (series,).
    """
    _check_used(task, reading)
    if not files or len(files) > (2 if task == "translate" else 1):
        takes = "one .tsv file or two files, the source's and the target's," if task == "translate" else "one file"
        raise SettingsError(f"{task} takes {takes} as data, got {len(files)}: {', '.join(map(str, files))}")
    numeric = series_format(files[0], reading.format) is not None
    (_check_numeric if numeric else _check_no_times)(files[0], reading)
    if task == "generate" and numeric:
        return (read_histories(files[0], format=reading.format, times=reading.times),)
    if task == "generate":
        return ((_read_each_text if each else _read_corpus)(files[0], reading),)
    pairs = (_SERIES if numeric and task in _SERIES else _TEXTS)[task](files, reading)
    first, second = [first for first, _ in pairs], [second for _, second in pairs]
    if task == "classify" and reading.decision != "number":
        if known is None:
            question(second, files[0])
        else:
            second = agreed(second, known, files[0])
    return first, second


def _table(reading: ReadOptions) -> dict[str, Any]:
    """What every reader of texts is told about the table that they may stand in."""
    return {name: getattr(reading, name) for name in _TABLE}


def _labelled_texts(files: Files, reading: ReadOptions) -> Sequence[tuple[Any, Any]]:
    return read_labelled(
        files[0],
        text_column=reading.text_column,
        label_column=reading.label_column,
        decision=reading.decision,
        bad_lines=reading.bad_lines,
        **_table(reading),
    )


def _labelled_series(files: Files, reading: ReadOptions) -> Sequence[tuple[Any, Any]]:
    series = read_labelled_series(
        files[0],
        format=reading.format,
        label_column=reading.label_column,
        times=reading.times,
        decision=reading.decision,
    )
    decided = (_decided(number, one, reading.decision, files[0]) for number, one in enumerate(series, start=1))
    return [(one.values, one.label) for one in decided]


def _tagged_sentences(files: Files, reading: ReadOptions) -> Sequence[tuple[Any, Any]]:
    if reading.label_column is not None:
        raise SettingsError("--label-column is for tag on numbers (--format numbers), not on words: give --tag-column")
    return read_tagged(
        files[0],
        format=reading.format,
        field=reading.field,
        token_column=reading.token_column,
        tag_column=reading.tag_column,
        bad_lines=reading.bad_lines,
    )


def _tagged_series(files: Files, reading: ReadOptions) -> Sequence[tuple[Any, Any]]:
    return read_tagged_series(files[0], format=reading.format, label_column=reading.label_column, times=reading.times)


def _pairs(files: Files, reading: ReadOptions) -> Sequence[tuple[Any, Any]]:
    return read_parallel(
        files,
        source_column=reading.source_column,
        target_column=reading.target_column,
        bad_lines=reading.bad_lines,
        **_table(reading),
    )


_TEXTS = {"classify": _labelled_texts, "tag": _tagged_sentences, "translate": _pairs}
_SERIES = {"classify": _labelled_series, "tag": _tagged_series}


def _read_corpus(path: str | Path, reading: ReadOptions) -> str:
    """What a language model of text learns: a file as it stands, or the texts in a column of a table, a line each."""
    if not _is_text(path, reading):
        return "\n".join(_read_column(path, reading))
    text = read_text(path, reading.bad_lines)
    if reading.format is None and (said := _doubts(text[:10_000])):
        logger.warning("%s: %s", place_of(path), said)
    return text


def _read_each_text(path: str | Path, reading: ReadOptions) -> list[str]:
    """The texts of which a language model learns: the lines of a file, or what is in a column of a table."""
    if _is_text(path, reading):
        return [line.removesuffix("\n") for line in split_lines(_read_corpus(path, reading))]
    return _read_column(path, reading)


def _is_text(path: str | Path, reading: ReadOptions) -> bool:
    named = any(getattr(reading, name) is not None for name in _OF_TEXTS)
    return labelled_format(path, reading.format) == "lines" and not named


def _doubts(text: str) -> str:
    """What the beginning of a text may be that is learned as characters."""
    if looks_numeric(text):
        return "a table of numbers is learned as characters; to learn the numbers, add --format numbers"
    kind = kind_of_texts(split_lines(text)[:1], [Column("text", None)])
    if kind == "lines":
        return ""
    name, format = ("JSON", "jsonl") if kind == "jsonl" else ("a table", "csv")
    return f"{name} is learned as characters; to learn the texts in it, add --format {format}"


def _read_column(path: str | Path, reading: ReadOptions) -> list[str]:
    try:
        texts = read_texts(path, text_column=reading.text_column, bad_lines=reading.bad_lines, **_table(reading))
    except DataError as error:
        hint = (
            "For a series of numbers add --format numbers; to learn the file's characters as they are, --format lines."
        )
        raise DataError(error.reason, path=path, line=error.line, hint=f"{error.hint} {hint}".strip()) from None
    logger.info("%s: learning the texts of a column, a line each (if not: --format lines, or numbers)", place_of(path))
    return texts


def read_validation(task: str, files: Files, reading: ReadOptions, examples: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Like `read_examples`, of validation data for those training examples; None if there are no files."""
    if not files:
        return None
    known = each_label(examples[1]) if task == "classify" and reading.decision != "number" else ()
    return read_examples(task, files, reading_of(files, reading), known=set(known))


def reading_of(files: Files, reading: ReadOptions) -> ReadOptions:
    """How other files of the same data are read: a file of `label text` lines has no columns to name."""
    if (reading.text_column or reading.label_column) and labelled_format(files[0], reading.format) == "lines":
        return reading._replace(text_column=None, label_column=None, delimiter=None, header=None)
    return reading


_TABLE = {"format", "delimiter", "header"}
_TIMES = {"time_column", "ignore_time", "day_first", "series_column"}
_USES = {
    "classify": {*_TABLE, "text_column", "label_column", "decision", "sort", "fill", *_TIMES},
    "generate": {*_TABLE, "text_column", "sort", "fill", "step", *_TIMES},
    "tag": {"format", "field", "label_column", "token_column", "tag_column", "sort", *_TIMES},
    "translate": {*_TABLE, "source_column", "target_column"},
}
_OF_TEXTS = ("text_column", "source_column", "target_column", "delimiter", "header")


def _check_used(task: str, reading: ReadOptions) -> None:
    """A reading option that the task has no use for is a mistake, not a detail."""
    if unused := reading.non_default(_USES[task]):
        raise SettingsError(f"{unused[0]} is not for {task}")


def _check_no_times(path: str | Path, reading: ReadOptions) -> None:
    if given := reading.times.non_default():
        raise SettingsError(f"{', '.join(given)}: for series of numbers (--format numbers), but {path} holds text")


def _check_numeric(path: str | Path, reading: ReadOptions) -> None:
    if reading.bad_lines is not None:
        raise SettingsError(f"--skip-bad-lines is for texts, but {path} holds numbers: mend it")
    if given := [name for name in _OF_TEXTS if getattr(reading, name) is not None]:
        raise SettingsError(f"--{given[0].replace('_', '-')} is for texts, but {path} holds numbers: omit it")
    if reading.token_column is not None or reading.tag_column is not None:
        raise SettingsError("--token-column and --tag-column are for tag on words; for numbers give --label-column")


def _decided(number: int, series: LabelledSeries, decision: str, path: str | Path) -> LabelledSeries:
    """The series with its label as what is to be decided."""
    try:
        return series._replace(label=LABELS[decision](series.label, path, number))
    except DataError as error:
        raise DataError(f"series {number}: {error.reason}", path=path) from None


def stream_inputs(
    task: str, numeric: bool, file: str | Path, reading: ReadOptions
) -> Iterator[tuple[dict[str, Any], Any]]:
    """What a model of the task is to be asked about, one at a time, each with its name: `text`, or `series`, its place
    in a file of numbers. A translator's source is a text too: `text_column` may name it."""
    _check_used(task, reading._replace(text_column=None) if task == "translate" else reading)
    if series_format(file, reading.format):
        if not numeric:
            raise SettingsError(f"{place_of(file)} holds numbers, but the model reads texts")
        _check_numeric(file, reading)
        stream = stream_tagged_series if task == "tag" else stream_labelled_series
        series: Any = stream(file, format=reading.format, labelled=False, times=reading.times)
        return (({"series": number}, one.values) for number, one in enumerate(series, start=1))
    _check_no_times(file, reading)
    if task == "tag":
        return named_sentences(stream_sentences(file, format=reading.format, token_column=reading.token_column))
    if task == "translate":
        column = reading.source_column if reading.source_column is not None else reading.text_column
        return named_texts(stream_sources(file, source_column=column, **_table(reading)))
    return named_texts(stream_texts(file, text_column=reading.text_column, **_table(reading)))


def named_texts(texts: Iterable[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Texts with themselves as names."""
    return (({"text": text}, text) for text in texts)


def named_sentences(sentences: Iterable[list[str]]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Tokens with their text as name."""
    return (({"text": " ".join(tokens)}, tokens) for tokens in sentences)
