"""Training on examples in a cache, for data that are larger than memory."""

from __future__ import annotations

import copy
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import stepscan
from stepscan.data.arrow import is_hub
from stepscan.data.bad_lines import BadLines
from stepscan.data.byte_streams import is_stream
from stepscan.data.label_checks import check_label_counts
from stepscan.data.labels import flatten_labels
from stepscan.data.ragged_rows import RaggedRows
from stepscan.data.read_options import Files, ReadOptions
from stepscan.data.task_data import check_text_files, check_validation, options_for, read_examples, stream_examples
from stepscan.data.tokenizers import TextTokenizer
from stepscan.errors import DataError, SettingsError, display_path
from stepscan.estimators.cache_sources import ExampleSource, TextSource
from stepscan.estimators.encoded_fit import tokenizers_hash
from stepscan.estimators.encoding import EncodedExamples, Vocabulary
from stepscan.json_text import json_text
from stepscan.models.files import reading_for
from stepscan.storage.array_cache import VERSION, ArrayWriter, CachedArrays, cached_arrays
from stepscan.training.progress import ProgressBar

logger = logging.getLogger(__name__)
_READ_AT_ONCE = 2**20  # bytes
_ENDS = ".ends"  # of a column's rows


def fit_from_cache(estimator: Any, train_files: Files, valid_files: Files, reading: ReadOptions) -> None:
    """Train on files by way of the cache in the estimator's `cache_dir`.

    Raises:
        SettingsError: a setting is not one for a cache.
        DataError: a file is broken.
    """
    check_validation(valid_files, reading)
    reading = reading_for(estimator, reading)
    examples = open_cache(estimator, train_files, reading, holds_out=not valid_files)
    validation = examples.held_out
    if valid_files:
        options, labels = options_for(valid_files, reading), examples.vocabulary.labels
        arguments = read_examples(estimator.task, valid_files, options, known=set(labels or ()))
        validation = arguments[0] if len(arguments) == 1 else list(zip(*arguments, strict=True))
    elif estimator.verbose:
        amount = f"the last {len(validation):,} characters" if isinstance(validation, str) else ""
        amount = amount or f"{len(validation):,} examples, drawn by a hash of their text,"
        ProgressBar().note(f"no validation data given: {amount} are held out")
    estimator.fit_cached(examples, validation)


def open_cache(estimator: Any, files: Files, reading: ReadOptions, *, holds_out: bool) -> EncodedExamples:
    """The cache of files, made if it is not there, in three passes over them.

    Args:
        estimator: uses `cache_dir` and the settings of its vocabulary.
        files: of texts, of any format of the task.
        reading: how they are read.
        holds_out: whether some examples are held out for validation.

    Raises:
        SettingsError: a setting is not one for a cache.
        DataError: a file is broken or has one class only, or the cache is damaged.
    """
    _check_settings(estimator, files, reading)
    passes: list[int] = []

    def read() -> Iterator[Any]:
        passes.append(1)
        counted = reading.bad_lines if len(passes) == 1 or reading.bad_lines is None else BadLines()  # once each
        return stream_examples(estimator.task, files, reading._replace(bad_lines=counted))

    def make(writer: ArrayWriter) -> Mapping[str, Any]:
        source_class = TextSource if estimator.task == "generate" else ExampleSource
        source = source_class(read, holds_out=holds_out)
        facts = _write(copy.copy(estimator), source, writer)
        if estimator.task == "classify":
            _check_labels(facts, source.held_out, files[0])
        return {**facts, "skipped": reading.bad_lines.report() if reading.bad_lines else ""}

    if estimator.verbose:
        without = "" if getattr(estimator, "wide", False) is False else "; the linear part (wide) needs data in memory"
        ProgressBar().note(f"data are encoded once, into {estimator.cache_dir}, and read from there{without}")
    fingerprint = _fingerprint(estimator, files, reading, holds_out=holds_out)
    cached = cached_arrays(estimator.cache_dir, fingerprint, make)
    examples = _examples(cached)
    if examples.skipped and not passes:
        logger.warning(f"when the cache was made: {examples.skipped}")
    return examples


def _check_labels(facts: Mapping[str, Any], held_out: Any, path: str | Path) -> None:
    """As the labels of data in memory are checked; and that training has each one that is held out."""
    labels, counted = facts["labels"], facts["facts"]
    check_label_counts(
        Counter(dict(zip(labels, counted["counts"], strict=True))), counted["examples"], counted["first"], path
    )
    if lacking := sorted(set(flatten_labels([target for _, target in held_out])) - set(labels)):
        hint = "Give validation data (--valid), then nothing is held out; or more examples of these labels."
        reason = f"expected each label in training, got {lacking[0]!r} in examples held out for validation alone."
        raise DataError(reason, path=path, hint=hint)
    if len(labels) < 2:
        raise DataError(f"expected at least two classes, got only {labels}.", path=path)


def _check_settings(estimator: Any, files: Files, reading: ReadOptions) -> None:
    name = display_path(files[0])
    if any(map(is_stream, files)):
        raise SettingsError(f"cache_dir: expected files that can be read several times, got {name}")
    try:
        check_text_files(estimator.task, files, reading)
    except SettingsError as error:
        raise SettingsError(f"cache_dir: {error}; omit it") from None
    refused = {"refit": (True,), "problem_type": ("regression",)}
    if estimator.task == "classify":
        refused["wide"] = (True,)
    for setting, values in refused.items():
        given = getattr(estimator, setting, None)
        if given in values:
            expected = "'classification' or 'multilabel'" if setting == "problem_type" else "off"
            raise SettingsError(f"{setting}: expected {expected} with cache_dir, got {given!r}")


def _write(estimator: Any, source: Any, writer: ArrayWriter) -> dict[str, Any]:
    """Write the columns of the examples of a source; returns the facts."""
    estimator.chosen_, estimator._vectors, estimator._vector_arguments = {}, None, {}
    vocabulary = estimator._learn(source)
    if estimator.has_fixed_vectors:
        estimator.set_vocabulary(vocabulary)
    else:
        estimator.tokenizers_, estimator.labels_ = vocabulary.tokenizers, vocabulary.labels
    ends: dict[str, int] = {}
    for part in estimator._encode_examples(source, vocabulary):
        for name, column in part.items():
            if not isinstance(column, RaggedRows):
                writer.append(name, column)
                continue
            writer.append(name, column.values)
            writer.append(name + _ENDS, column.ends + ends.get(name, 0))
            ends[name] = ends.get(name, 0) + len(column.values)
    return {
        "tokenizers": {name: tokenizer.to_json() for name, tokenizer in vocabulary.tokenizers.items()},
        "encoded_with": tokenizers_hash(estimator.tokenizers_),
        "labels": vocabulary.labels,
        "facts": vocabulary.facts,
        "held_out": source.held_out,
    }


def _examples(cached: CachedArrays) -> EncodedExamples:
    """What a cache holds, as examples."""
    arrays, facts = cached.arrays, cached.facts
    columns: dict[str, Any] = {
        name: RaggedRows(values, arrays[name + _ENDS]) if name + _ENDS in arrays else values
        for name, values in arrays.items()
        if not name.endswith(_ENDS)
    }
    try:
        tokenizers = {name: TextTokenizer.parse(text, name) for name, text in facts["tokenizers"].items()}
        held_out = facts["held_out"]
        return EncodedExamples(
            columns,
            Vocabulary(tokenizers, facts["labels"], facts["facts"]),
            fingerprint=cached.folder.name,
            scratch=cached.folder,
            held_out=held_out if isinstance(held_out, str) else [(one, target) for one, target in held_out],
            skipped=facts["skipped"],
            encoded_with=facts["encoded_with"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        hint = "Remove it; it is made anew."
        raise DataError(f"the cache is damaged: {error!r}.", path=cached.folder, hint=hint) from error


def _fingerprint(estimator: Any, files: Files, reading: ReadOptions, *, holds_out: bool) -> str:
    """The first 24 digits of the SHA-256 of all that the cache depends on: the files' content, how they are read, the
    settings of the vocabulary, and the version of Stepscan that it is of."""
    options = {name: value for name, value in reading._asdict().items() if name != "bad_lines"}
    names = estimator.cached_settings + (("embeddings",) if estimator.has_fixed_vectors else ())
    facts: dict[str, Any] = {
        "version": VERSION,
        "stepscan": stepscan.__version__,
        "task": estimator.task,
        "files": [_digest(file) for file in files],
        "reading": options,
        "settings": {name: getattr(estimator, name) for name in names},
        "skips": reading.bad_lines is not None,
        "holds_out": holds_out,
    }
    return hashlib.sha256(json_text(dict(sorted(facts.items())), default=str).encode()).hexdigest()[:24]


def _digest(file: str | Path) -> str:
    if is_hub(file):
        from stepscan.data.arrow import hub_fingerprint

        return hub_fingerprint(str(file))
    digest = hashlib.sha256("".join(Path(file).suffixes[-2:]).lower().encode())  # which tell the format, gzip or not
    try:
        with open(file, "rb") as content:
            while block := content.read(_READ_AT_ONCE):
                digest.update(block)
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror or error}.", path=file) from error
    return digest.hexdigest()
