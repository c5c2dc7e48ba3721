"""From files to estimators and back: what each command of the command line does."""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stepscan.errors import DataError, SettingsError, StepscanError, nearest
from stepscan.estimators.base import ESTIMATORS, Estimator
from stepscan.estimators.classifier import Classifier
from stepscan.estimators.ensemble import average, ensemble
from stepscan.estimators.folder import CHECKPOINTS, check_free, tidy
from stepscan.estimators.language_model import LanguageModel
from stepscan.estimators.loading import load
from stepscan.estimators.reading import (
    Files,
    Reading,
    named_sentences,
    named_texts,
    read_examples,
    reading_of,
    stream_inputs,
)
from stepscan.training.checkpoints import Checkpoints
from stepscan.training.settings import ModelSettings, validated

PORTION = 2048  # texts that are read, decided and written at a time: memory does not grow with the file


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
    reading = reading_for(estimator, reading)
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


def evaluate(
    path: str | Path,
    files: Files,
    *,
    reading: Reading = Reading(),  # noqa: B008
    dynamic: float = 0.0,
    horizon: int = 0,
    others: Files = (),
) -> dict[str, Any]:
    """The field's own metrics of a model on files.

    Returns:
        classify: accuracy, macro F1 (of labels micro F1, macro F1, exact; of numbers RMSE, MAE, R²); tag: accuracy, and
        for tags that mark spans F1, precision and recall, over all and by type; generate: nats a symbol, perplexity,
        bits a symbol (with `dynamic`, a learning rate, also nats by dynamic evaluation), or errors of forecasts of
        `horizon` steps; translate: BLEU and chrF with sacrebleu's signature. And how many examples they are over.
    """
    model: Any = load_together(path, others)
    if dynamic and others:
        raise SettingsError("dynamic evaluation is of one model, not of an ensemble")
    if (dynamic or horizon) and not isinstance(model, LanguageModel):
        raise SettingsError(f"--dynamic and --horizon are of models that generate, but {path} is for {model.task}")
    examples = read_examples(model.task, files, reading_for(model, reading))
    figures = model.metrics(*examples, **{k: v for k, v in {"dynamic": dynamic, "horizon": horizon}.items() if v})
    return {"task": model.task, "file": ", ".join(map(str, files)), **figures, **_skipped(reading)}


def evaluate_lines(
    path: str | Path,
    files: Files,
    *,
    reading: Reading = Reading(),  # noqa: B008
    others: Files = (),
) -> Iterator[dict[str, Any]]:
    """For each example of files, in order: `line` (its place, from 1), `log_probability` (natural) that the model gives
    to the right answer, or to the text, and `symbols`, how many that is of. A text is a line, by itself."""
    model: Any = load_together(path, others)
    examples = read_examples(model.task, files, reading_for(model, reading))
    if isinstance(model, LanguageModel) and isinstance(examples[0], str):
        examples = (examples[0].splitlines(),)
    for place, (found, symbols) in enumerate(model.log_probabilities(*examples), start=1):
        yield {"line": place, "log_probability": found, "symbols": symbols}


def average_folders(paths: Files, out: str | Path, *, overwrite: bool = False) -> None:
    """Write a model with the mean of the weights of models."""
    check_free(out, overwrite=overwrite)
    average([load(path) for path in paths]).save(out, overwrite=overwrite)


def load_together(path: str | Path, others: Files = ()) -> Estimator:
    """A model, or the ensemble of it and others."""
    return ensemble([load(one) for one in (path, *others)])


def reading_for(estimator: Estimator, reading: Reading) -> Reading:
    """How the estimator's data are read: its labels are what it decides."""
    return reading._replace(decision=estimator.decision) if isinstance(estimator, Classifier) else reading


def predict(
    path: str | Path,
    texts: Iterable[str] = (),
    *,
    input_file: str | Path | None = None,
    reading: Reading = Reading(),  # noqa: B008
    of_translation: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    others: Files = (),
) -> Iterator[dict[str, Any]]:
    """What a model says of texts, one dictionary a text: `text` (of numbers `series`, its place) and, by task,

    classify: see `Classifier.answers`; tag: `tokens`, `tags`; translate: `translation`, `score` and, with `n_best`
    above 1, `n_best`; `of_translation` are arguments of `Translator.translate`. `others` are models that decide with
    it. Texts for a tagger are split at white space; files may be CoNLL-U or columns. Texts are read as they are needed,
    so that there may be any number of them.
    """
    model: Any = load_together(path, others)
    for name, value in (settings or {}).items():
        if name not in model.get_params():
            raise SettingsError(f"{model.task} has no setting {name!r}")
        setattr(model, name, value)
    validated(ModelSettings, settings or {})
    if isinstance(model, LanguageModel):
        raise SettingsError(f"{path} holds a language model: use `stepscan generate`, or `stepscan evaluate`")
    options = of_translation or {}
    if options and model.task != "translate":
        raise SettingsError(f"{', '.join(options)}: only for translate, not for {model.task}")
    inputs: Iterator[tuple[dict[str, Any], Any]]
    if input_file:
        inputs = stream_inputs(model.task, not model.tokenizers_, input_file, reading)
    else:
        inputs = named_sentences(text.split() for text in texts) if model.task == "tag" else named_texts(texts)
    while portion := list(itertools.islice(inputs, PORTION)):
        answers = model.answers([one for _, one in portion], **options)
        for (named, _), said in zip(portion, answers, strict=True):
            yield named | said


def _skipped(reading: Reading) -> dict[str, int]:
    """How many bad lines (sentences, pairs) were skipped, where that was asked for."""
    return {} if reading.bad_lines is None else {"skipped": sum(reading.bad_lines.counts.values())}


def fit_on(estimator: Any, examples: tuple[Any, ...], validation: tuple[Any, ...] | None, files: Files) -> None:
    """Fit on what `read_examples` read from `files`, which its errors name."""
    if isinstance(estimator, LanguageModel):
        estimator.fit(examples[0], validation=validation[0] if validation else None)
        return
    if isinstance(estimator, Classifier) and estimator.decision == "class" and len(set(examples[1])) < 2:
        raise DataError(
            f"expected at least two classes, but every label is {examples[1][0]!r}.",
            path=files[0],
            hint="Is it the right column? Name it with --label-column.",
        )
    estimator.fit(*examples, validation=validation)
