"""Options of data files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from stepscan.fields import Choice, Flag, Text
from stepscan.options.option import DATA, Option

SERIES_TASKS = ("classify", "tag", "forecast")  # that read series of numbers


@dataclass(kw_only=True, frozen=True)
class ReadingOptions:
    """How data files are read, where their names do not say it."""

    format: Annotated[
        str | None,
        Option(
            Text(),
            "File format: csv, tsv, jsonl, lines, trees, subtrees, conllu, columns; of series: ts, npy, ucr, numbers "
            "(CSV).",
            DATA,
            unset="by file name and content",
        ),
    ] = None
    text_column: Annotated[
        str | None,
        Option(
            Text(),
            "Column of the text: name, or position from 1.",
            DATA,
            unset="guessed by name",
            tasks=("classify", "generate"),
        ),
    ] = None
    label_column: Annotated[
        str | None,
        Option(
            Text(),
            "Column of the label: name, or position from 1.",
            DATA,
            unset="guessed by name",
            tasks=("classify", "tag"),
        ),
    ] = None
    source_column: Annotated[
        str | None,
        Option(
            Text(),
            "Column of the source text: name, or position from 1.",
            DATA,
            unset="the first",
            tasks=("translate",),
        ),
    ] = None
    target_column: Annotated[
        str | None,
        Option(
            Text(),
            "Column of the target text: name, or position from 1.",
            DATA,
            unset="the second",
            tasks=("translate",),
        ),
    ] = None
    token_column: Annotated[
        str | None,
        Option(Text(), "Column of the token: name, or position from 1.", DATA, unset="the first", tasks=("tag",)),
    ] = None
    tag_column: Annotated[
        str | None,
        Option(Text(), "Column of the tag: name, or position from 1.", DATA, unset="the last", tasks=("tag",)),
    ] = None
    field: Annotated[
        str, Option(Text(), "CoNLL-U field that holds the tag: upos, xpos, feats, …", DATA, tasks=("tag",))
    ] = "upos"
    delimiter: Annotated[
        str | None,
        Option(
            Text(),
            "Field separator of CSV and TSV: one character, or tab.",
            DATA,
            unset="detected",
            tasks=("classify", "generate", "translate"),
        ),
    ] = None
    header: Annotated[
        bool | None,
        Option(
            Flag(),
            "The first row of CSV and TSV names the columns.",
            DATA,
            unset="detected",
            tasks=("classify", "generate", "translate"),
        ),
    ] = None
    time_column: Annotated[
        str | None,
        Option(
            Text(),
            'Series: column of the timestamps: name, or position from 1; "none": every column holds values.',
            DATA,
            unset="guessed by content",
            tasks=SERIES_TASKS,
        ),
    ] = None
    series_column: Annotated[
        str | None,
        Option(
            Text(),
            "Series: column that names the series of each row.",
            DATA,
            unset="one series",
            tasks=SERIES_TASKS,
        ),
    ] = None
    ignore_time: Annotated[
        bool,
        Option(Flag(), "Series: use rows in file order, ignoring timestamps.", DATA, tasks=SERIES_TASKS),
    ] = False
    sort: Annotated[bool, Option(Flag(), "Series: sort rows by time.", DATA, tasks=SERIES_TASKS)] = False
    fill: Annotated[
        str | None,
        Option(
            Choice(("linear", "previous", "zero")),
            "Fill gaps in time and missing values: linear, previous or zero.",
            DATA,
            unset="gaps are errors",
            tasks=("classify", "forecast"),
        ),
    ] = None
    day_first: Annotated[
        bool | None,
        Option(
            Flag("month_first"),
            "Series: 01/02/2021 is 1 February (or 2 January).",
            DATA,
            unset="decided from the whole column",
            tasks=SERIES_TASKS,
        ),
    ] = None
    skip_bad_lines: Annotated[
        bool,
        Option(
            Flag(),
            "Skip invalid lines, and report how many were skipped.",
            DATA,
            tasks=("classify", "tag", "generate", "translate"),
        ),
    ] = False
