"""Prediction, forecasts and evaluation on files, for the command line.

A model is a runtime model or an estimator.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stepscan.data.byte_streams import available_chunks, may_block
from stepscan.data.label_checks import warn_unknown_labels
from stepscan.data.model_inputs import inputs_of_sentences, inputs_of_texts, stream_inputs
from stepscan.data.series.readers import read_timed_series
from stepscan.data.series.time_step import next_times
from stepscan.data.task_data import Files, ReadOptions, read_examples
from stepscan.errors import SettingsError
from stepscan.evaluation.yardstick import verdict
from stepscan.options import TASKS, check_settings

logger = logging.getLogger(__name__)
_NOT_PREDICTED = {
    "generate": "language models: use `stepscan generate`",
    "forecast": "forecasters: use `stepscan forecast`",
}
PORTION = 2048  # examples that are read, predicted and written at a time: memory does not grow with the file


def predict(
    model: Any,
    texts: Iterable[str] = (),
    *,
    input_file: str | Path | None = None,
    reading: ReadOptions = ReadOptions(),  # noqa: B008
    translation: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Predict texts or a file, lazily and in chunks, so that memory does not grow with their number.

    A chunk of a pipe or a terminal is what has arrived, so that predictions are not delayed.

    Args:
        model: a model of any task but generate and forecast.
        texts: the texts; for a tagger they are split at white space.
        input_file: a file to read instead, in any format of the task.
        reading: how the file is read.
        translation: arguments of `Translator.translate`.
        settings: settings of the model to change, such as the beam width.

    Yields:
        Lists of one dictionary per text, with `text` (for a series `series`, its number from 1) and the record of the
        model's `predict_records`.

    Raises:
        SettingsError: the model has no predictions, or an option is not one of its task.
        DataError: the file is not valid.
    """
    check_settings(TASKS[model.task], settings or {})
    for name, value in (settings or {}).items():
        setattr(model, name, value)
    if model.task in _NOT_PREDICTED:
        raise SettingsError(f"predict is not available for {_NOT_PREDICTED[model.task]}, or `stepscan evaluate`")
    options = translation or {}
    if options and model.task != "translate":
        raise SettingsError(f"{', '.join(options)}: only for translate, not for {model.task}")
    inputs: Iterator[tuple[dict[str, Any], Any]]
    if input_file:
        inputs = stream_inputs(model.task, not model.tokenizers_, input_file, reading)
    else:
        inputs = inputs_of_sentences(text.split() for text in texts) if model.task == "tag" else inputs_of_texts(texts)
    for portion in available_chunks(inputs, PORTION) if input_file and may_block(input_file) else _portions(inputs):
        records = model.predict_records([item for _, item in portion], **options)
        yield [source | record for (source, _), record in zip(portion, records, strict=True)]


def _portions(inputs: Iterator[Any]) -> Iterator[list[Any]]:
    while portion := list(itertools.islice(inputs, PORTION)):
        yield portion


def forecasts(
    model: Any,
    context: str | Path,
    length: int,
    *,
    reading: ReadOptions = ReadOptions(),  # noqa: B008
    **settings: Any,
) -> Iterator[dict[str, Any]]:
    """Forecast each series of a file.

    Args:
        model: a forecaster.
        context: file of the past values.
        length: number of steps.
        reading: how the file is read.
        settings: arguments of `Forecaster.forecast`.

    Yields:
        One dictionary per step: `series` (its name, if it has one, or its number from 1, if there are several), `step`
        from 1, `time` (if the file has times), `median`, `low`, `high`.

    Raises:
        SettingsError: a series does not fit the model.
        DataError: the file is not valid.
    """
    histories = read_timed_series(context, format=reading.format, times=reading_for(model, reading).times)
    for index, series in enumerate(histories, start=1):
        name_fields = {"series": series.name or index} if series.name or len(histories) > 1 else {}
        try:
            forecast = model.forecast(series.values, length, **settings)
        except SettingsError as error:
            raise SettingsError(f"series {name_fields['series']}: {error}" if name_fields else str(error)) from None
        times = next_times(series.times, series.step, length) if series.times and series.step else None
        for step, values in enumerate(zip(*forecast, strict=True)):
            time_field = {"time": times[step]} if times else {}
            value_fields = {name: value.tolist() for name, value in zip(forecast._fields, values, strict=True)}
            yield {**name_fields, "step": step + 1, **time_field, **value_fields}


def evaluate(
    model: Any,
    files: Files,
    *,
    reading: ReadOptions = ReadOptions(),  # noqa: B008
    dynamic: float = 0.0,
    horizon: int = 0,
    bleu_tokenize: str | None = None,
) -> dict[str, Any]:
    """Compute a model's metrics on files.

    Args:
        model: a runtime model or an estimator.
        files: the data files.
        reading: how they are read.
        dynamic: generate: a learning rate, for dynamic evaluation too; 0: without.
        horizon: forecast: the number of last steps to forecast at once; 0: each step, one ahead.
        bleu_tokenize: translate: sacreBLEU's tokenizer; None: by the targets' script.

    Returns:
        `task`, `file`, the model's `metrics`, the `yardstick`, and the number of skipped lines, if lines may be.

    Raises:
        SettingsError: an option is not one of the model's task.
        DataError: a file is not valid.
    """
    for option, value, task in (
        ("--dynamic", dynamic, "generate"),
        ("--horizon", horizon, "forecast"),
        ("--bleu-tokenize", bleu_tokenize, "translate"),
    ):
        if value and model.task != task:
            raise SettingsError(f"{option}: expected a model for {task}, got one for {model.task}; omit it")
    examples = _examples(model, files, reading)
    options = {"dynamic": dynamic, "horizon": horizon, "bleu_tokenize": bleu_tokenize}
    figures = model.metrics(*examples, **{name: value for name, value in options.items() if value})
    yardstick = _yardstick(model, examples, figures, {"bleu_tokenize": bleu_tokenize} if bleu_tokenize else {})
    return {"task": model.task, "file": ", ".join(map(str, files)), **figures, **yardstick, **skipped(reading)}


def _yardstick(model: Any, examples: tuple[Any, ...], figures: Mapping[str, Any], options: Any) -> dict[str, Any]:
    """The score of a trivial model on the examples, with a warning if the model is not clearly better; if it is not
    known, the score on the validation data, if the folder records it."""
    if trivial := model.yardstick(*examples, **options):
        if sentence := verdict(trivial, figures):
            logger.warning(sentence)
        return {"yardstick": {"name": trivial.name, "scores": trivial.scores}}
    if stored := model.yardstick_:
        return {"yardstick": {"name": f"{stored['name']}, on the validation data", "scores": stored["scores"]}}
    return {}


def evaluate_lines(
    model: Any,
    files: Files,
    *,
    reading: ReadOptions = ReadOptions(),  # noqa: B008
) -> Iterator[dict[str, Any]]:
    """Score each example of files.

    Yields:
        `line` (the example's number, from 1), `log_probability`, the natural logarithm of the probability of the true
        target, or of the line of text, and `symbols`, the number of its factors.
    """
    examples = _examples(model, files, reading, each=True)
    for line, (log_probability, symbols) in enumerate(model.log_probabilities(*examples), start=1):
        yield {"line": line, "log_probability": log_probability, "symbols": symbols}


def reading_for(model: Any, reading: ReadOptions) -> ReadOptions:
    """The options of reading with those that the model determines: its problem type, or the step of its times."""
    if model.task == "forecast":
        return reading._replace(step=model.step)
    return reading._replace(problem_type=model.problem_type) if model.task == "classify" else reading


def _examples(model: Any, files: Files, reading: ReadOptions, *, each: bool = False) -> tuple[Any, ...]:
    """The examples to score a model on."""
    is_labelled = model.task == "classify" and model.problem_type != "regression"
    known = model.classes_.tolist() if is_labelled else []
    examples = read_examples(model.task, files, reading_for(model, reading), known=known, each=each)
    if is_labelled:
        warn_unknown_labels(examples[1], known, files[0])
    return examples


def skipped(reading: ReadOptions) -> dict[str, int]:
    """The number of skipped bad lines (sentences, pairs), if they may be skipped."""
    return {} if reading.bad_lines is None else {"skipped": sum(reading.bad_lines.counts.values())}
