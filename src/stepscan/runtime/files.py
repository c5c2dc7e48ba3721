"""From a model and files to answers and figures: what `predict` and `evaluate` of the command line do.

A model is one that was loaded to be used alone, or an estimator: both are used in the same way.
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
from stepscan.options import TASKS, check_settings
from stepscan.runtime.yardstick import verdict

logger = logging.getLogger(__name__)
_NOT_PREDICTED = {
    "generate": "language models: use `stepscan generate`",
    "forecast": "forecasters: use `stepscan forecast`",
}
PORTION = 2048  # texts that are read, decided and written at a time: memory does not grow with the file


def predict(
    model: Any,
    texts: Iterable[str] = (),
    *,
    input_file: str | Path | None = None,
    reading: ReadOptions = ReadOptions(),  # noqa: B008
    of_translation: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """What a model says of texts, in portions of one dictionary a text: `text` (of numbers `series`, its place) and,
    by task,

    classify: see `Classifier.answers`; tag: `tokens`, `tags`; translate: `translation`, `score` and, with `n_best`
    above 1, `n_best`; `of_translation` are arguments of `Translator.translate`. Texts for a tagger are split at white
    space; files may be CoNLL-U or columns. Texts are read as they are needed, so that there may be any number of them:
    in portions, of a file that is a pipe or a terminal what has come by then, so that each is answered at once.
    """
    check_settings(TASKS[model.task], settings or {})
    for name, value in (settings or {}).items():
        setattr(model, name, value)
    if model.task in _NOT_PREDICTED:
        raise SettingsError(f"predict is not available for {_NOT_PREDICTED[model.task]}, or `stepscan evaluate`")
    options = of_translation or {}
    if options and model.task != "translate":
        raise SettingsError(f"{', '.join(options)}: only for translate, not for {model.task}")
    inputs: Iterator[tuple[dict[str, Any], Any]]
    if input_file:
        inputs = stream_inputs(model.task, not model.tokenizers_, input_file, reading)
    else:
        inputs = inputs_of_sentences(text.split() for text in texts) if model.task == "tag" else inputs_of_texts(texts)
    for portion in available_chunks(inputs, PORTION) if input_file and may_block(input_file) else _filled(inputs):
        answers = model.predict_records([one for _, one in portion], **options)
        yield [named | said for (named, _), said in zip(portion, answers, strict=True)]


def _filled(inputs: Iterator[Any]) -> Iterator[list[Any]]:
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
    """What comes after each series in a file, a dictionary a step: `series` (its name, if it has one, or of several its
    place from 1), `step` from 1, `time` (if the file has times), `median`, `low`, `high`; `settings` are arguments of
    `Forecaster.forecast`."""
    histories = read_timed_series(context, format=reading.format, times=reading_for(model, reading).times)
    for number, series in enumerate(histories, start=1):
        named = {"series": series.name or number} if series.name or len(histories) > 1 else {}
        try:
            found = model.forecast(series.values, length, **settings)
        except SettingsError as error:
            raise SettingsError(f"series {named['series']}: {error}" if named else str(error)) from None
        times = next_times(series.times, series.step, length) if series.times and series.step else None
        for place, values in enumerate(zip(*found, strict=True)):
            when = {"time": times[place]} if times else {}
            numbers = {name: value.tolist() for name, value in zip(found._fields, values, strict=True)}
            yield {**named, "step": place + 1, **when, **numbers}


def evaluate(
    model: Any,
    files: Files,
    *,
    reading: ReadOptions = ReadOptions(),  # noqa: B008
    dynamic: float = 0.0,
    horizon: int = 0,
    bleu_tokenize: str | None = None,
) -> dict[str, Any]:
    """The field's own metrics of a model on files.

    Returns:
        classify: accuracy, macro F1 (of labels micro F1, macro F1, exact; of numbers RMSE, MAE, R²); tag: accuracy, and
        for tags that mark spans F1, precision and recall, over all and by type; generate: nats per symbol, perplexity,
        bits per symbol (with `dynamic`, a learning rate, also nats by dynamic evaluation); forecast: errors of
        forecasts of `horizon` steps; translate: BLEU and chrF with sacrebleu's signature (`bleu_tokenize` names its
        tokenizer, in place of the one for what the target is written in). And how many examples they are over.
    """
    for option, value, task in (
        ("--dynamic", dynamic, "generate"),
        ("--horizon", horizon, "forecast"),
        ("--bleu-tokenize", bleu_tokenize, "translate"),
    ):
        if value and model.task != task:
            raise SettingsError(f"{option} is an option of {task} models, but this is a {model.task} model; omit it")
    examples = _examples(model, files, reading)
    options = {"dynamic": dynamic, "horizon": horizon, "bleu_tokenize": bleu_tokenize}
    figures = model.metrics(*examples, **{name: value for name, value in options.items() if value})
    beside = _yardstick(model, examples, figures, {"bleu_tokenize": bleu_tokenize} if bleu_tokenize else {})
    return {"task": model.task, "file": ", ".join(map(str, files)), **figures, **beside, **skipped(reading)}


def _yardstick(model: Any, examples: tuple[Any, ...], figures: Mapping[str, Any], options: Any) -> dict[str, Any]:
    """What a trivial model scores on the examples, with a warning if the model does not clearly beat it; where that
    cannot be known, what it scored on the validation data, if the folder says so."""
    if trivial := model.yardstick(*examples, **options):
        if said := verdict(trivial, figures):
            logger.warning(said)
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
    """For each example of files, in order: `line` (its place, from 1), `log_probability` (natural) that the model gives
    to the right answer, or to the text, and `symbols`, how many that is of. A text is a line, by itself."""
    examples = _examples(model, files, reading, each=True)
    for place, (found, symbols) in enumerate(model.log_probabilities(*examples), start=1):
        yield {"line": place, "log_probability": found, "symbols": symbols}


def reading_for(model: Any, reading: ReadOptions) -> ReadOptions:
    """How the model's data are read: its labels are what it decides, their times have its step."""
    if model.task == "forecast":
        return reading._replace(step=model.step)
    return reading._replace(problem_type=model.problem_type) if model.task == "classify" else reading


def _examples(model: Any, files: Files, reading: ReadOptions, *, each: bool = False) -> tuple[Any, ...]:
    """What a model is to be scored on."""
    is_labelled = model.task == "classify" and model.problem_type != "regression"
    known = model.classes_.tolist() if is_labelled else []
    examples = read_examples(model.task, files, reading_for(model, reading), known=known, each=each)
    if is_labelled:
        warn_unknown_labels(examples[1], known, files[0])
    return examples


def skipped(reading: ReadOptions) -> dict[str, int]:
    """How many bad lines (sentences, pairs) were skipped, where that was asked for."""
    return {} if reading.bad_lines is None else {"skipped": sum(reading.bad_lines.counts.values())}
