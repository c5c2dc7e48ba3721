"""The examples of a task, read from its files, whatever their format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from stepscan.data.corpus import read_corpus, read_each_text, stream_corpus
from stepscan.data.label_checks import check_labels, match_spelling
from stepscan.data.labelled_trees import SUBTREES
from stepscan.data.labels import PARSERS, flatten_labels
from stepscan.data.read_options import (
    Files,
    ReadOptions,
    check_series_options,
    check_task_options,
    check_text_options,
    options_for,
    table_options,
)
from stepscan.data.readers import stream_labelled, stream_parallel, stream_tagged
from stepscan.data.series.readers import (
    LabelledSeries,
    read_labelled_series,
    read_series,
    read_tagged_series,
    series_format,
)
from stepscan.errors import DataError, SettingsError, display_path

__all__ = ["Files", "ReadOptions", "options_for", "read_examples", "read_validation"]

Pairs = Iterable[tuple[Any, Any]]


def read_examples(
    task: str,
    files: Files,
    options: ReadOptions = ReadOptions(),  # noqa: B008
    known: Collection[Any] | None = None,
    *,
    each: bool = False,
) -> tuple[Any, ...]:
    """Read the arguments of `fit` and `score` of the task's model.

    Args:
        task: "classify", "tag", "generate", "forecast" or "translate".
        files: one file (translate: one or two).
        options: how they are read.
        known: classify: the labels that a model has learned, which replace labels that differ from them only in
            spelling. None: the labels are to be learned, and warnings about likely mistakes are logged.
        each: generate: return each line, or row of a column, by itself, rather than one text.

    Returns:
        classify: texts or series, labels; tag: sentences or series, tag sequences; translate: sources, targets;
        generate: (text,), or (texts,) with `each`; forecast: (series,).

    Raises:
        SettingsError: an option or a number of files that does not fit the task or the files.
        DataError: a file cannot be read, or holds a bad line.
    """
    check_task_options(task, options)
    _check_number_of_files(task, files)
    is_numeric = task == "forecast" or series_format(files[0], options.format) is not None
    (check_series_options if is_numeric else check_text_options)(files[0], options)
    if task == "forecast":
        return (read_series(files[0], format=options.format, times=options.times),)
    if task == "generate" and is_numeric:
        raise SettingsError(
            f"expected text, but {display_path(files[0])} holds numbers; to learn those, train forecast"
        )
    if task == "generate":
        return ((read_each_text if each else read_corpus)(files[0], options),)
    read = _SERIES_READERS.get(task) if is_numeric else None
    inputs, targets = [], []
    for one, target in (read or _TEXT_READERS[task])(files, options):
        inputs.append(one)
        targets.append(target)
    if task == "classify" and options.problem_type != "regression":
        if known is None:
            check_labels(targets, files[0])
        else:
            targets = match_spelling(targets, known, files[0])
    return inputs, targets


def stream_examples(task: str, files: Files, options: ReadOptions) -> Iterator[Any]:
    """Yield the examples of texts one at a time: pairs, as `read_examples` returns lists of; of "generate", pieces of
    one text, which end at ends of lines.

    Raises:
        SettingsError: an option or a number of files that does not fit the task, or numbers in place of texts.
        DataError: a file cannot be read, or holds a bad line.
    """
    check_text_files(task, files, options)
    if task == "generate":
        return stream_corpus(files[0], options)
    return iter(_TEXT_READERS[task](files, options))


def check_text_files(task: str, files: Files, options: ReadOptions) -> None:
    """Check, without reading them to their ends, that files are texts for a task.

    Raises:
        SettingsError: as `stream_examples`.
    """
    check_task_options(task, options)
    _check_number_of_files(task, files)
    if task == "forecast" or series_format(files[0], options.format) is not None:
        raise SettingsError(f"expected texts, got numbers in {display_path(files[0])}")
    check_text_options(files[0], options)


def check_validation(files: Files, options: ReadOptions) -> None:
    """Check that there are files of validation data where a part of the training data cannot be held out.

    Raises:
        SettingsError: the examples are spans of texts, and there are none.
    """
    if options.format == SUBTREES and not files:
        raise SettingsError(
            f"format {SUBTREES}: expected validation data, got none; spans of one text would lie on both sides of a "
            "split of the training data: add --valid"
        )


def read_validation(task: str, files: Files, options: ReadOptions, examples: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Read validation data for training examples, as `read_examples` does; None if there are no files."""
    if not files:
        return None
    known = flatten_labels(examples[1]) if task == "classify" and options.problem_type != "regression" else ()
    return read_examples(task, files, options_for(files, options), known=set(known))


def _check_number_of_files(task: str, files: Files) -> None:
    if not files or len(files) > (2 if task == "translate" else 1):
        expected = "one .tsv file, or two files (source and target)" if task == "translate" else "one data file"
        raise SettingsError(f"{task}: expected {expected}, got {len(files)}: {', '.join(map(str, files))}")


def _labelled_texts(files: Files, options: ReadOptions) -> Pairs:
    return stream_labelled(
        files[0],
        text_column=options.text_column,
        label_column=options.label_column,
        problem_type=options.problem_type,
        bad_lines=options.bad_lines,
        **table_options(options),
    )


def _labelled_series(files: Files, options: ReadOptions) -> Pairs:
    examples = read_labelled_series(
        files[0],
        format=options.format,
        label_column=options.label_column,
        times=options.times,
        problem_type=options.problem_type,
    )
    numbered = enumerate(examples, start=1)
    return [(one.values, _parse_label(number, one, options.problem_type, files[0])) for number, one in numbered]


def _parse_label(number: int, example: LabelledSeries, problem_type: str, path: str | Path) -> Any:
    try:
        return PARSERS[problem_type](example.label, path, number)
    except DataError as error:
        raise DataError(f"series {number}: {error.reason}", path=path) from None


def _tagged_sentences(files: Files, options: ReadOptions) -> Pairs:
    if options.label_column is not None:
        raise SettingsError("--label-column is for tagging numbers (--format numbers); for words use --tag-column")
    return stream_tagged(
        files[0],
        format=options.format,
        field=options.field,
        token_column=options.token_column,
        tag_column=options.tag_column,
        bad_lines=options.bad_lines,
    )


def _tagged_series(files: Files, options: ReadOptions) -> Pairs:
    return read_tagged_series(files[0], format=options.format, label_column=options.label_column, times=options.times)


def _pairs_of_texts(files: Files, options: ReadOptions) -> Pairs:
    return stream_parallel(
        files,
        source_column=options.source_column,
        target_column=options.target_column,
        bad_lines=options.bad_lines,
        **table_options(options),
    )


Reader = Callable[[Files, ReadOptions], Pairs]
_TEXT_READERS: dict[str, Reader] = {
    "classify": _labelled_texts,
    "tag": _tagged_sentences,
    "translate": _pairs_of_texts,
}
_SERIES_READERS: dict[str, Reader] = {"classify": _labelled_series, "tag": _tagged_series}
