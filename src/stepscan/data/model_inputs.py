"""The inputs that a trained model predicts from, streamed from a file or from texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stepscan.data.read_options import (
    ReadOptions,
    check_series_options,
    check_task_options,
    check_text_options,
    table_options,
)
from stepscan.data.readers import stream_sentences, stream_sources, stream_texts
from stepscan.data.series.readers import series_format, stream_labelled_series, stream_tagged_series
from stepscan.errors import SettingsError, display_path

Inputs = Iterator[tuple[dict[str, Any], Any]]  # (what identifies an input in the answers, the model's input)


def stream_inputs(task: str, is_numeric: bool, file: str | Path, options: ReadOptions) -> Inputs:
    """Yield the inputs in a file, one at a time.

    Args:
        task: of the model.
        is_numeric: whether the model reads series.
        file: may have labels, which are ignored.
        options: how it is read; for translate, `text_column` may name the source too.

    Returns:
        pairs of what identifies the input (`text`; of a series `series`, its number from 1 in the file) and the input:
        a text, a list of tokens, or a series `[T, D]`.

    Raises:
        SettingsError: an option that does not fit the task or the file, or a file of numbers for a model of texts.
        DataError: the file cannot be read, or holds a bad line; raised when the iterator gets there.
    """
    check_task_options(task, options._replace(text_column=None) if task == "translate" else options)
    if series_format(file, options.format):
        if not is_numeric:
            raise SettingsError(f"expected texts, as the model was trained on, got numbers in {display_path(file)}")
        check_series_options(file, options)
        stream = stream_tagged_series if task == "tag" else stream_labelled_series
        series: Any = stream(file, format=options.format, labelled=False, times=options.times)
        return (({"series": number}, one.values) for number, one in enumerate(series, start=1))
    check_text_options(file, options)
    if task == "tag":
        return inputs_of_sentences(stream_sentences(file, format=options.format, token_column=options.token_column))
    if task == "translate":
        column = options.source_column if options.source_column is not None else options.text_column
        return inputs_of_texts(stream_sources(file, source_column=column, **table_options(options)))
    return inputs_of_texts(stream_texts(file, text_column=options.text_column, **table_options(options)))


def inputs_of_texts(texts: Iterable[str]) -> Inputs:
    """Inputs as `stream_inputs` yields them, of texts."""
    return (({"text": text}, text) for text in texts)


def inputs_of_sentences(sentences: Iterable[list[str]]) -> Inputs:
    """Inputs as `stream_inputs` yields them, of lists of tokens."""
    return (({"text": " ".join(tokens)}, tokens) for tokens in sentences)
