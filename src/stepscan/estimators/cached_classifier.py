"""Training a classifier on texts in a cache, for data that are larger than memory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import stepscan
from stepscan.backends.batches import Batch
from stepscan.backends.tensors import to_sequences
from stepscan.data.arrow import is_hub
from stepscan.data.bad_lines import BadLines
from stepscan.data.batching import TrainingBatch
from stepscan.data.byte_streams import is_stream
from stepscan.data.read_options import Files, ReadOptions, check_task_options, check_text_options, table_options
from stepscan.data.readers import stream_labelled
from stepscan.data.series.readers import series_format
from stepscan.data.shuffled_order import ShuffledOrder
from stepscan.data.task_data import options_for, read_examples
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import DataError, SettingsError, StepscanError, display_path
from stepscan.estimators.fit_run import FitRun, FitSteps
from stepscan.estimators.training_data import Buckets, TrainingData, make_task
from stepscan.evaluation.yardstick import best_constant, guess
from stepscan.json_text import json_text
from stepscan.options import TrainingOptions
from stepscan.storage.token_cache import VERSION, CachedTexts, cached_texts
from stepscan.training.loop import Task
from stepscan.training.progress import ProgressBar

logger = logging.getLogger(__name__)
_BATCHES_PER_POOL = 50  # that are sorted by length together
_READ_AT_ONCE = 2**20  # bytes


def fit_from_cache(estimator: Any, train_files: Files, valid_files: Files, reading: ReadOptions) -> None:
    """Train a classifier on a file by way of the cache in its `cache_dir`.

    Raises:
        SettingsError: a setting is not one for texts in a cache.
        DataError: a file is broken.
    """
    texts = open_cache(estimator, train_files, reading, holds_out=not valid_files)
    validation = None
    if valid_files:
        options = options_for(valid_files, reading)
        validation = read_examples("classify", valid_files, options, known=set(texts.classes))
    estimator.fit_cached(texts, validation)


def open_cache(estimator: Any, files: Files, reading: ReadOptions, *, holds_out: bool) -> CachedTexts:
    """The cache of a file of labelled texts, made if it is not there.

    Args:
        estimator: a `Classifier`; uses `cache_dir` and the settings of its tokenizer.
        files: one file, of any format of labelled texts.
        reading: how it is read.
        holds_out: whether some texts are held out for validation.

    Raises:
        SettingsError: a setting is not one for texts in a cache.
        DataError: the file is broken or has one class only, or the cache is damaged.
    """
    _check_settings(estimator, files, reading)
    bad_lines, passes = reading.bad_lines, 0

    def read() -> Iterator[tuple[str, Any]]:
        nonlocal passes
        passes += 1
        counted = bad_lines if passes == 1 or bad_lines is None else BadLines()  # each bad line is counted once
        return iter(
            stream_labelled(
                files[0],
                text_column=reading.text_column,
                label_column=reading.label_column,
                bad_lines=counted,
                **table_options(reading),
            )
        )

    if estimator.verbose:
        ProgressBar().note(f"texts are tokenised once, into {estimator.cache_dir}, and read from there")
    texts = cached_texts(
        estimator.cache_dir,
        _fingerprint(estimator, files[0], reading, holds_out=holds_out),
        read,
        estimator._train_tokenizer,
        holds_out=holds_out,
        skipped=lambda: bad_lines.report() if bad_lines else "",
    )
    if texts.skipped and not passes:
        logger.warning(f"when the cache was made: {texts.skipped}")
    if len(texts.classes) < 2:
        raise DataError(f"expected at least two classes, got only {texts.classes}.", path=files[0])
    return texts


def _check_settings(estimator: Any, files: Files, reading: ReadOptions) -> None:
    check_task_options("classify", reading)
    name = display_path(files[0])
    if len(files) != 1 or is_stream(files[0]):
        raise SettingsError(f"cache_dir: expected one file that can be read several times, got {name}")
    if series_format(files[0], reading.format) is not None:
        raise SettingsError(f"cache_dir: expected texts, got numbers in {name}; omit it")
    check_text_options(files[0], reading)
    wanted = {"problem_type": "classification", "wide": None, "refit": None}
    for setting, value in wanted.items():
        given = getattr(estimator, setting)
        if given != value and given is not False:
            expected = "'classification'" if setting == "problem_type" else "off"
            raise SettingsError(f"{setting}: expected {expected} with cache_dir, got {given!r}")


def _fingerprint(estimator: Any, file: str | Path, reading: ReadOptions, *, holds_out: bool) -> str:
    """The first 24 digits of the SHA-256 of all that the cache depends on: the file's content, how it is read, and the
    tokenizer: its settings, and the version of Stepscan that it is of."""
    options = {name: value for name, value in reading._asdict().items() if name != "bad_lines"}
    settings = {name: getattr(estimator, name) for name in ("tokenizer", "vocabulary_size", "lowercase")}
    facts: dict[str, Any] = {"version": VERSION, "file": _digest(file), "reading": options, "settings": settings}
    facts |= {"skips": reading.bad_lines is not None, "holds_out": holds_out, "stepscan": stepscan.__version__}
    return hashlib.sha256(json_text(dict(sorted(facts.items())), default=str).encode()).hexdigest()[:24]


def _digest(file: str | Path) -> str:
    if is_hub(file):
        from stepscan.data.arrow import hub_fingerprint

        return hub_fingerprint(str(file))
    digest = hashlib.sha256(Path(file).suffix.encode())
    try:
        with open(file, "rb") as content:
            while block := content.read(_READ_AT_ONCE):
                digest.update(block)
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror or error}.", path=file) from error
    return digest.hexdigest()


class CachedBuckets(Buckets):
    """The batches of texts in a cache: as of `Buckets`, but nothing is as large as the data. The order is computed pool
    by pool, and batches are shuffled within pools of 50.

    Args:
        texts: the cache.
        settings: batch size and seed.
    """

    def __init__(self, texts: CachedTexts, settings: TrainingOptions) -> None:
        super().__init__((), settings, self._collate)
        self.texts = texts

    def indices(self, epoch: int) -> Iterable[np.ndarray]:
        seed, size = self.settings.seed, self.settings.batch_size
        order = ShuffledOrder(len(self.texts), seed=seed, epoch=epoch)
        for number, start in enumerate(range(0, len(order), _BATCHES_PER_POOL * size)):
            pool = order[start : start + _BATCHES_PER_POOL * size]
            pool = pool[np.argsort(self.texts.lengths(pool), kind="stable")]
            batches = [pool[i : i + size] for i in range(0, len(pool), size)]
            for i in np.random.default_rng([seed, epoch, number]).permutation(len(batches)):
                yield batches[i]

    def _sizes(self, indices: np.ndarray) -> Sequence[int]:
        return self.texts.lengths(indices).tolist()

    def _collate(self, indices: np.ndarray) -> TrainingBatch:
        inputs = to_sequences(Batch(*self.texts.padded(indices), zeroed=True))
        targets = torch.from_numpy(self.texts.labels[indices].astype(np.int64))
        return TrainingBatch(inputs, targets, len(indices), int(inputs.lengths.sum()), inputs.mask.numel())

    def __len__(self) -> int:
        return -(-len(self.texts) // self.settings.batch_size)

    @property
    def items(self) -> float:
        return self.texts.tokens / max(1, len(self))

    @property
    def max_padded_items(self) -> int:
        return self.texts.longest * self.settings.batch_size


class CachedFit:
    """One `fit` of a classifier on texts in a cache: one training, without a linear part and without folds.

    Args:
        estimator: the classifier.
        texts: the cache.
    """

    def __init__(self, estimator: Any, texts: CachedTexts) -> None:
        self.estimator, self.texts = estimator, texts

    def run(self, validation: tuple[Sequence[str], Sequence[Any]] | None) -> None:
        """Train, and leave the estimator with a model.

        Raises:
            SettingsError: validation data have a class that the texts do not have.
        """
        estimator, texts = self.estimator, self.texts
        held_out = texts.held_out if validation is None else list(zip(*validation, strict=True))
        if validation is None and estimator.verbose:
            ProgressBar().note(f"no validation data given: {len(held_out):,} texts, drawn by their hash, are held out")
        if unknown := {label for _, label in held_out} - set(texts.classes):
            raise SettingsError(
                f"validation data: expected classes of the training data, got {sorted(unknown)[:3]}; give more "
                "examples of them, or validation data without them"
            )
        estimator._choose_settings("text", len(texts), texts.tokens)
        data = TrainingData([(texts, held_out)], True, len(texts), _no_data)
        steps = FitSteps(self._prepare, estimator._train, lambda held_out: None, self._select_best)
        FitRun(estimator, steps, estimator.training_options()).run(data)

    def _prepare(self, texts: CachedTexts, held_out: list[tuple[str, Any]], settings: TrainingOptions) -> Task:
        estimator = self.estimator
        estimator.labels_ = texts.classes
        tokenizer = TextTokenizer.parse(texts.tokenizer, "the cache's tokenizer.json")
        embedding = estimator._text_embedding(tokenizer)
        model = estimator._build_model(embedding, max_length=lambda: texts.longest).to(settings.device)
        estimator.model_ = model
        if estimator.class_weights == "balanced":
            model.balance_counts(torch.tensor(texts.counts))
        batches = CachedBuckets(texts, settings)
        task = make_task(model, batches, lambda: estimator._evaluate(held_out), len(held_out), True)
        task.fingerprint = texts.fingerprint
        return task

    def _select_best(self, data: TrainingData, results: Any, is_refitted: bool) -> int:
        targets = [label for _, label in data.parts[0][1]]
        most_frequent = self.texts.classes[int(np.argmax(self.texts.counts))]
        balanced = self.estimator.class_weights == "balanced"
        yardstick = guess(targets) if balanced else best_constant("classification", [most_frequent], targets)
        self.estimator.yardstick_, self.estimator.wide_ = yardstick.to_dict(), None
        return 0


def _no_data() -> Any:
    raise StepscanError("texts in a cache are not trained on once more; refit: expected off with cache_dir")
