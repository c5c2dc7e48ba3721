"""From files to estimators and back: what each command of the command line does."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stepscan.data.bad_lines import BadLines
from stepscan.data.lines import read_text
from stepscan.data.readers import labelled_format, read_labelled, read_parallel, read_sentences, read_tagged, read_texts
from stepscan.data.series import read_labelled_series, read_tagged_series, series_format
from stepscan.errors import DataError, SettingsError, StepscanError, nearest
from stepscan.estimators.base import ESTIMATORS, Estimator
from stepscan.estimators.classifier import Classifier
from stepscan.estimators.folder import CHECKPOINTS, check_free, tidy
from stepscan.estimators.language_model import LanguageModel
from stepscan.estimators.loading import load
from stepscan.estimators.tagger import Tagger
from stepscan.estimators.translator import Translator
from stepscan.training.checkpoints import Checkpoints
from stepscan.training.settings import ModelSettings, validated

Files = Sequence[str | Path]


class Reading(NamedTuple):
    """How data files are to be read, where their names do not say it."""

    format: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    field: str = "upos"
    bad_lines: BadLines | None = None  # counts what it skips; without it the first bad line is an error


def read_examples(task: str, files: Files, reading: Reading = Reading()) -> tuple[Any, ...]:  # noqa: B008
    """What `fit` and `score` of the task's estimator take, out of one file (translate: one or two).

    Returns:
        classify: texts or series, labels; tag: sentences or series, tag sequences; translate: sources, targets;
        generate: (text,).
    """
    _check_used(task, reading)
    if not files or len(files) > (2 if task == "translate" else 1):
        takes = "one .tsv file or two files, the source's and the target's," if task == "translate" else "one file"
        raise SettingsError(f"{task} takes {takes} as data, got {len(files)}: {', '.join(map(str, files))}")
    numeric = series_format(files[0], reading.format) is not None
    bad = reading.bad_lines
    if numeric and bad is not None:
        raise SettingsError(f"--skip-bad-lines is for texts, but {files[0]} holds numbers: mend it")
    examples: Sequence[tuple[Any, Any]]
    if task == "classify" and numeric:
        examples = read_labelled_series(files[0], format=reading.format, label_column=reading.label_column)
    elif task == "tag" and numeric:
        examples = read_tagged_series(files[0], format=reading.format, label_column=reading.label_column)
    elif task == "classify":
        examples = read_labelled(
            files[0],
            format=reading.format,
            text_column=reading.text_column,
            label_column=reading.label_column,
            bad_lines=bad,
        )
    elif task == "tag":
        if reading.label_column is not None:
            raise SettingsError("--label-column is for tag on numbers (--format numbers), not on words")
        examples = read_tagged(files[0], format=reading.format, field=reading.field, bad_lines=bad)
    elif task == "translate":
        examples = read_parallel(files, format=reading.format, bad_lines=bad)
    else:
        return (read_text(files[0], bad),)
    return [first for first, _ in examples], [second for _, second in examples]


def _skipped(reading: Reading) -> dict[str, int]:
    """How many bad lines (sentences, pairs) were skipped, where that was asked for."""
    return {} if reading.bad_lines is None else {"skipped": sum(reading.bad_lines.counts.values())}


def reading_of(files: Files, reading: Reading) -> Reading:
    """How other files of the same data are read: a file of `label text` lines has no columns to name."""
    has_none = (reading.text_column or reading.label_column) and labelled_format(files[0], reading.format) == "lines"
    return reading._replace(text_column=None, label_column=None) if has_none else reading


_USES = {
    "classify": {"format", "text_column", "label_column"},
    "generate": set(),
    "tag": {"format", "field", "label_column"},
    "translate": {"format"},
}


def _check_used(task: str, reading: Reading) -> None:
    """A reading option that the task has no use for is a mistake, not a detail."""
    for name, value in reading._asdict().items():
        if value != Reading._field_defaults[name] and name not in {"bad_lines", *_USES[task]}:
            raise SettingsError(f"--{name.replace('_', '-')} is not for {task}")


def train(
    task: str,
    train_files: Files,
    out: str | Path,
    *,
    valid_files: Files = (),
    settings: Mapping[str, Any],
    reading: Reading = Reading(),  # noqa: B008
    overwrite: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Train the task's estimator on files and write a model folder.

    Args:
        task: `classify`, `generate`, `tag` or `translate`.
        train_files, valid_files: see `read_examples`; without the latter, the last tenth is held out.
        out: the model folder.
        settings: of the estimator's constructor; the others keep their defaults.
        reading: how the files are read.
        overwrite: whether a model or an interrupted training at `out` is replaced.
        resume: whether an interrupted training at `out` goes on, to the same weights to the bit.

    Returns:
        task, folder, seconds, parameters, epochs, and the best validation scores.
    """
    checkpoints = _start(Path(out), overwrite=overwrite, resume=resume)
    started = time.perf_counter()
    estimator = make_estimator(task, {**settings, "checkpoints": checkpoints, "resume": resume})
    examples = read_examples(task, train_files, reading)
    validation = read_examples(task, valid_files, reading_of(valid_files, reading)) if valid_files else None
    fit_on(estimator, examples, validation, train_files)
    try:
        estimator.save(out, overwrite=True)
    except StepscanError as error:
        raise StepscanError(f"{error}; the training is kept: mend that, then the same command and --resume") from error
    best = [row for row in estimator.history_ if row["best"]][-1]
    return {
        "task": task,
        "folder": str(out),
        "seconds": round(time.perf_counter() - started, 1),
        "parameters": sum(parameter.numel() for parameter in estimator.model_.parameters()),
        "epochs": estimator.history_[-1]["epoch"],
        **_skipped(reading),
        **{name: value for name, value in best.items() if name.startswith("valid_")},
    }


def _start(out: Path, *, overwrite: bool, resume: bool) -> Path:
    """Whether training may write to `out`, and where its checkpoints go."""
    tidy(out)
    checkpoints = Checkpoints(out / CHECKPOINTS)
    if resume and not checkpoints and (out / "config.json").is_file():
        raise StepscanError(
            f"the training of {out} has ended: there is nothing to go on with. Start anew with --overwrite, "
            "or choose another name"
        )
    if checkpoints and not (resume or overwrite):
        raise StepscanError(
            f"{out} holds a training that was interrupted: go on with it (--resume), or start anew (--overwrite)"
        )
    check_free(out, overwrite=overwrite or resume)
    if not resume:
        checkpoints.clear()
    return checkpoints.folder


def make_estimator(task: str, settings: Mapping[str, Any]) -> Estimator:
    """The task's estimator with these settings, checked; one that it does not have: the error says who has it."""
    if task not in ESTIMATORS:
        raise SettingsError(f"unknown task {task!r}.{nearest(task, ESTIMATORS)}")
    has = {name: list(inspect.signature(kind).parameters) for name, kind in ESTIMATORS.items()}
    for setting in settings:
        if setting not in has[task]:
            others = [name for name in ESTIMATORS if setting in has[name]]
            hint = f"It is for {', '.join(others)}." if others else nearest(setting, has[task]).strip()
            raise SettingsError(f"{task} has no setting {setting!r}. {hint}")
    estimator = ESTIMATORS[task](**settings)
    estimator._settings()
    return estimator


def evaluate(path: str | Path, files: Files, *, reading: Reading = Reading()) -> dict[str, Any]:  # noqa: B008
    """The field's own metrics of a model on files.

    Returns:
        classify: accuracy, macro F1; tag: accuracy, and for tags that mark spans
        F1, precision and recall, over all and by type; generate: nats a symbol, perplexity, bits a symbol;
        translate: BLEU and chrF with sacrebleu's signature. And how many examples they are over.
    """
    model = load(path)
    examples = read_examples(model.task, files, reading)
    return {"task": model.task, "file": ", ".join(map(str, files)), **model.metrics(*examples), **_skipped(reading)}


def evaluate_lines(
    path: str | Path,
    files: Files,
    *,
    reading: Reading = Reading(),  # noqa: B008
) -> Iterator[dict[str, Any]]:
    """For each example of files, in order: `line` (its place, from 1), `log_probability` (natural) that the model gives
    to the right answer, or to the text, and `symbols`, how many that is of. A text is a line, by itself."""
    model: Any = load(path)
    examples = read_examples(model.task, files, reading)
    if isinstance(model, LanguageModel):
        examples = (examples[0].splitlines(),)
    for place, (found, symbols) in enumerate(model.log_probabilities(*examples), start=1):
        yield {"line": place, "log_probability": found, "symbols": symbols}


def predict(
    path: str | Path,
    texts: Sequence[str] = (),
    *,
    input_file: str | Path | None = None,
    reading: Reading = Reading(),  # noqa: B008
    n_best: int = 1,
    lengths: tuple[int, int | None] = (0, None),
    settings: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """What a model says of texts, one dictionary a text: `text` (of numbers `series`, its place) and, by task,

    classify: `label`, `probability`; tag: `tokens`, `tags`; translate: `translation`, `score` and, with `n_best` above
    1, `n_best`; `lengths` are its fewest and most symbols. Texts for a tagger are split at white space; files may be
    CoNLL-U or columns.
    """
    model = load(path)
    for name, value in (settings or {}).items():
        if name not in model.get_params():
            raise SettingsError(f"{model.task} has no setting {name!r}")
        setattr(model, name, value)
    validated(ModelSettings, settings or {})
    if isinstance(model, LanguageModel):
        raise SettingsError(f"{path} holds a language model: use `stepscan generate`, or `stepscan evaluate`")
    if n_best != 1 and not isinstance(model, Translator):
        raise SettingsError(f"{model.task} says one thing of each text; n_best is for translate")
    if lengths != (0, None) and not isinstance(model, Translator):
        raise SettingsError(f"minimum and maximum length are for translate, not for {model.task}")
    if input_file and series_format(input_file, reading.format):
        yield from _predict_series(model, input_file, reading)
        return
    if isinstance(model, Tagger):
        sentences = (
            read_sentences(input_file, format=reading.format) if input_file else [text.split() for text in texts]
        )
        for tokens, tags in zip(sentences, model.predict(sentences), strict=True):
            yield {"text": " ".join(tokens), "tokens": tokens, "tags": tags}
        return
    if input_file:
        texts = read_texts(input_file, format=reading.format, text_column=reading.text_column)
    if isinstance(model, Translator):
        several = model.translate(texts, n_best=n_best, minimum_length=lengths[0], maximum_length=lengths[1])
        for text, found in zip(texts, several, strict=True):
            row = {"text": text, "translation": found[0].text, "score": found[0].score}
            yield row | ({"n_best": [one._asdict() for one in found]} if n_best > 1 else {})
        return
    assert isinstance(model, Classifier)
    for text, probabilities in zip(texts, model.predict_proba(texts), strict=True):
        best = int(probabilities.argmax())
        yield {"text": text, "label": str(model.classes_[best]), "probability": float(probabilities[best])}


def _predict_series(model: Any, file: str | Path, reading: Reading) -> Iterator[dict[str, Any]]:
    """Like `predict`, of the series in a file of numbers; `series` is its place in the file, from 1."""
    if model.tokenizers_:
        raise SettingsError(f"{file} holds numbers, but the model reads texts")
    if isinstance(model, Tagger):
        series: list[Any] = [one.values for one in read_tagged_series(file, format=reading.format, labelled=False)]
        for number, (values, tags) in enumerate(zip(series, model.predict(series), strict=True), start=1):
            steps = [",".join(map(str, step)) for step in values.tolist()]
            yield {"series": number, "tokens": steps, "tags": tags}
        return
    series = [example.values for example in read_labelled_series(file, format=reading.format, labelled=False)]
    for number, probabilities in enumerate(model.predict_proba(series), start=1):
        best = int(probabilities.argmax())
        yield {"series": number, "label": str(model.classes_[best]), "probability": float(probabilities[best])}


def fit_on(estimator: Any, examples: tuple[Any, ...], validation: tuple[Any, ...] | None, files: Files) -> None:
    """Fit on what `read_examples` read from `files`, which its errors name."""
    if isinstance(estimator, LanguageModel):
        estimator.fit(examples[0], validation=validation[0] if validation else None)
        return
    if isinstance(estimator, Classifier) and len(set(examples[1])) < 2:
        raise DataError(
            f"expected at least two classes, but every label is {examples[1][0]!r}.",
            path=files[0],
            hint="Is it the right column? Name it with --label-column.",
        )
    estimator.fit(*examples, validation=validation)
