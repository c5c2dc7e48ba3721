"""Reads a model folder without torch.

A folder may come from anybody. What its files say is held against their sizes and against each other before anything
large is allocated; the first thing that does not fit is one `ModelFormatError`, with the file and what is wrong in it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stepscan.data.lines import split_lines
from stepscan.errors import ModelFormatError, SettingsError, UnsupportedLayer
from stepscan.options import TASKS
from stepscan.runtime.configuration import CONFIG, CURVE, LARGEST, WEIGHTS, read_config
from stepscan.runtime.examples import label_kind, label_problem
from stepscan.runtime.outline import PatternOutline, Tensors, outline, shown
from stepscan.runtime.schemes import Scheme, of_labels
from stepscan.runtime.settings import of_the_model
from stepscan.runtime.snapshot import Snapshot, read_at_once
from stepscan.runtime.tensor_file import expanded, read_tensors
from stepscan.runtime.untrusted import parsed
from stepscan.runtime.wide.model import WideModel
from stepscan.runtime.wide.storage import read_wide

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer

logger = logging.getLogger(__name__)

__all__ = ["Needs", "RuntimeFolder", "expanded", "needs", "read_folder"]

_PATTERNS = {
    "classify": ("encoder",),
    "generate": ("generator",),
    "forecast": ("forecaster",),
    "tag": ("transducer", "crf_transducer"),
    "translate": ("conditioned_generator",),
}


class Needs(NamedTuple):
    """What a model needs of the files beside `config.json`."""

    tensors: Tensors
    vocabularies: dict[str, int]  # file of a tokenizer, without `.json` → number of symbols
    labels: int | None  # how many; None for a model that decides nothing, or a number
    problem_type: str = ""  # of an encoder
    pattern: str = ""  # the built-in one that it is of


@dataclass(frozen=True)
class RuntimeFolder:
    """What a model folder holds, checked."""

    snapshot: Snapshot  # the files' bytes
    task: str
    settings: dict[str, Any]
    model: dict[str, Any]  # the description
    weights: str  # "float32", "bfloat16" or "int8"
    tensors: dict[str, np.ndarray]  # read-only views of the file's bytes; bfloat16 as uint16, int8 beside NAME.scale
    tokenizers: dict[str, TextTokenizer]  # file name without `.json` → tokenizer
    labels: list[Any] | None  # strings, or whole numbers
    scheme: Scheme | None  # of a tagger whose tags mark spans
    wide: WideModel | None  # of a classifier or tagger that has such a part
    yardstick: dict[str, Any] | None  # a trivial model, as `Yardstick.described`; folders from before have none
    chosen: list[str]  # those of the settings that were chosen by the size of the data
    hashes: dict[str, str]  # SHA-256 of the files by name, as config.json records it

    @property
    def path(self) -> Path:
        return self.snapshot.path

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """The training curve, one row an evaluation; parsed when first asked for.

        Raises:
            ModelFormatError: `metrics.jsonl` is missing, broken, or of another model.
        """
        path = self.path / CURVE
        text = self.snapshot.text(CURVE, LARGEST)
        rows = [parsed(line, path, finite=False) for line in split_lines(text)]
        if not all(isinstance(row, dict) and {"seconds", "best"} <= set(row) for row in rows):
            raise ModelFormatError(f"{path}: expected a JSON object with seconds and best on each line")
        self.snapshot.check_whole(self.hashes, [CURVE])
        return rows


def needs(description: Any) -> Needs:
    """What the description of a model says that it needs.

    Raises:
        UnsupportedLayer: something in it is not built in.
        ModelFormatError, TypeError, ValueError: it describes no model.
    """
    found = outline(description)
    if not isinstance(found, PatternOutline):
        raise ModelFormatError(f"it describes no model: {shown(found)}")
    return Needs(found.tensors, found.vocabularies, found.labels, found.problem_type, found.name)


def read_folder(path: str | Path, needs: Callable[[Any], Needs] = needs) -> RuntimeFolder:
    """Read and check a model folder.

    Args:
        path: the folder.
        needs: finds what a description needs; the training side also knows users' own layers.

    Raises:
        UnsupportedLayer: the model has a part that is not built in, so that only PyTorch can tell.
        ModelFormatError: the folder is none, or one of its files is missing, broken or of another version.
    """
    return read_at_once(Path(path), lambda folder: read_snapshot(folder, needs))


def read_snapshot(folder: Snapshot, needs: Callable[[Any], Needs] = needs) -> RuntimeFolder:
    """As `read_folder`, of files that may have been read already."""
    config = read_config(folder)
    needed = _needed(folder.path / CONFIG, config, needs)
    settings = _settings(folder.path / CONFIG, config)
    weights, hashes = config.get("weights", "float32"), config.get("files", {})
    tensors = read_tensors(folder, WEIGHTS, needed.tensors, weights)
    tokenizers = {name: _read_tokenizer(folder, f"{name}.json", size) for name, size in needed.vocabularies.items()}
    labels = None if needed.labels is None else _read_labels(folder, "labels.json", needed.labels)
    wide = _read_wide(folder, config, needed)
    folder.check_whole(hashes, folder.files.keys() - {CONFIG, CURVE})
    try:
        folder.text(CURVE, LARGEST)
    except ModelFormatError as error:  # who only uses a model does not need it
        if not folder.is_current:
            raise
        folder.faults[CURVE] = str(error)
    return RuntimeFolder(
        folder,
        config["task"],
        settings,
        config["model"],
        weights,
        tensors,
        tokenizers,
        labels,
        _scheme(config, labels or []),
        wide,
        _yardstick(folder.path / CONFIG, config, labels),
        config.get("chosen", []),
        hashes,
    )


# What config.json asks for --------------------------------------------------------------------------------------------


def _needed(path: Path, config: dict[str, Any], needs: Callable[[Any], Needs]) -> Needs:
    try:
        found = needs(config["model"])
    except UnsupportedLayer:
        raise
    except Exception as error:  # a user's own constructor may raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFormatError(f"{path}: 'model' cannot be built: {reason}") from error
    _check_agreement(path, config, found)
    return found


def _settings(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The settings of the model; those of an unknown task, which nothing can load, are empty."""
    if config["task"] not in TASKS:
        return {}
    try:
        return of_the_model(config["settings"], config["task"])
    except SettingsError as error:
        raise ModelFormatError(f"{path}: {error}") from None


def _check_agreement(path: Path, config: dict[str, Any], found: Needs) -> None:
    """Raise if task or settings are those of another model."""
    expected = _PATTERNS.get(config["task"])
    if found.pattern and expected and found.pattern not in expected:
        wanted = " or ".join(expected)
        raise ModelFormatError(f"{path}: the task is {config['task']!r}, but the model is no {wanted}: {found.pattern}")
    problem_type = config["settings"].get("problem_type", "classification")
    if found.problem_type and problem_type != found.problem_type:
        raise ModelFormatError(
            f"{path}: settings: problem_type: expected the model's {found.problem_type!r}, got {shown(problem_type)}"
        )


# The other files ------------------------------------------------------------------------------------------------------


def _read_tokenizer(folder: Snapshot, name: str, size: int) -> TextTokenizer:
    from stepscan.data.tokenizers import TextTokenizer  # a model of numbers does without

    path = folder.path / name
    tokenizer = TextTokenizer.parse(folder.text(name, LARGEST), path)
    if len(tokenizer) != size:
        raise ModelFormatError(
            f"{path} is not of this model: it has {len(tokenizer)} symbols, but config.json has an embedding of {size}"
        )
    return tokenizer


def _scheme(config: dict[str, Any], labels: list[Any]) -> Scheme | None:
    if config["task"] != "tag":
        return None
    if "scheme" not in config:
        return of_labels(labels)
    return config["scheme"] and Scheme.of(config["scheme"])


def _read_wide(folder: Snapshot, config: dict[str, Any], needed: Needs) -> WideModel | None:
    if config.get("wide") is None:
        return None
    if config["task"] not in ("classify", "tag"):
        raise ModelFormatError(
            f"{folder.path / CONFIG}: wide: expected the task 'classify' or 'tag' for a wide part, got "
            f"{config['task']!r}"
        )
    outputs = 1 if needed.labels is None else needed.labels
    mean = needed.tensors.get("embedding.mean")  # of the numbers of a step
    return read_wide(folder, config["wide"], config["task"], outputs, mean.shape[0] if mean else 0)


def _yardstick(path: Path, config: dict[str, Any], labels: list[Any] | None) -> dict[str, Any] | None:
    """As it stands there; None if it answers what the model cannot, whose labels may have been renamed since."""
    found = config.get("yardstick")
    if found is not None and (answer := found["answer"]) is not None:
        several = isinstance(answer, list)
        known = isinstance(answer, int | float) if labels is None else all(map(labels.__contains__, _listed(answer)))
        if not known or several != (config["settings"].get("problem_type") == "multilabel"):
            logger.info("%s: the yardstick answers %s, which this model never does; it is ignored", path, shown(answer))
            return None
    return found


def _listed(answer: Any) -> list[Any]:
    return answer if isinstance(answer, list) else [answer]


def _read_labels(folder: Snapshot, name: str, count: int) -> list[Any]:
    path, labels = folder.path / name, folder.json(name, LARGEST)
    if not isinstance(labels, list) or len(labels) != count:
        raise ModelFormatError(f"{path}: expected a list of {count} labels, as in config.json, got {_counted(labels)}")
    kinds = {label_kind(label) for label in labels}
    if len(kinds) > 1 or None in kinds:
        raise ModelFormatError(
            f"{path}: expected labels that are all strings or all whole numbers, got {shown(labels)}"
        )
    if len(set(labels)) != count:
        twice = Counter(labels).most_common(1)[0][0]
        raise ModelFormatError(f"{path}: the label {shown(twice)} stands there twice")
    if wrong := next((label for label in labels if label_problem(label)), None):
        raise ModelFormatError(f"{path}: the label {shown(wrong)} {label_problem(wrong)}")
    return labels


def _counted(labels: Any) -> str:
    return f"{len(labels)} of them" if isinstance(labels, list) else shown(labels)
