"""Reading of a model folder without torch.

A folder is untrusted input: its files are checked against their sizes and against each other before anything large is
allocated; the first mismatch is a `ModelFormatError` that names the file.
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

from stepscan.data.example_checks import label_kind, label_problem
from stepscan.data.lines import split_lines
from stepscan.definitions.definition import Tensors, parameter_count, specify
from stepscan.definitions.pattern import PatternDefinition
from stepscan.definitions.program_cell import with_programs
from stepscan.errors import ModelFormatError, SettingsError, UnsupportedLayer, shown
from stepscan.evaluation.schemes import Scheme, legacy_scheme
from stepscan.options import TASKS
from stepscan.storage.configuration import CONFIG, CURVE, LARGEST, WEIGHTS, read_config
from stepscan.storage.programs import Programs, read_programs
from stepscan.storage.settings import model_settings
from stepscan.storage.snapshot import Snapshot, read_at_once
from stepscan.storage.tensor_file import expanded, read_tensors
from stepscan.storage.wide_part import read_wide
from stepscan.untrusted_input import parse_json
from stepscan.wide.model import WideModel

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer

logger = logging.getLogger(__name__)

__all__ = ["FolderSpec", "RuntimeFolder", "expanded", "folder_spec", "read_folder"]

_PATTERNS = {
    "classify": ("encoder",),
    "generate": ("generator",),
    "forecast": ("forecaster",),
    "tag": ("transducer", "crf_transducer"),
    "translate": ("conditioned_generator",),
}


_MAX_WIDTH = 2**16  # values per item, or …
_MAX_WIDTH_PER_WEIGHT = 4  # … as many for each weight


class FolderSpec(NamedTuple):
    """What a model requires of the files other than `config.json`."""

    tensors: Tensors
    vocabularies: dict[str, int]  # file of a tokenizer, without `.json` → number of symbols
    labels: int | None  # number of labels; None for generators and regression
    problem_type: str = ""  # of an encoder
    pattern: str = ""  # name of the built-in pattern; empty for others


@dataclass(frozen=True)
class RuntimeFolder:
    """The checked content of a model folder."""

    snapshot: Snapshot  # the files' bytes
    task: str
    settings: dict[str, Any]
    model: dict[str, Any]  # the description
    weights: str  # "float32", "bfloat16" or "int8"
    tensors: dict[str, np.ndarray]  # read-only views of the file's bytes; bfloat16 as uint16, int8 beside NAME.scale
    tokenizers: dict[str, TextTokenizer]  # file name without `.json` → tokenizer
    labels: list[Any] | None  # strings, or whole numbers
    scheme: Scheme | None  # of a tagger whose tags mark spans
    outside_penalty: float  # subtracted from the score of O where tags are predicted
    wide: WideModel | None  # of a classifier or tagger with a wide part
    yardstick: dict[str, Any] | None  # a trivial model, as `Yardstick.to_dict`; older folders have none
    chosen: list[str]  # names of the settings that were chosen by the size of the data
    hashes: dict[str, str]  # SHA-256 of the files by name, as config.json records it
    programs: Programs  # of the layers that are not built in

    @property
    def path(self) -> Path:
        """The folder."""
        return self.snapshot.path

    @property
    def definition(self) -> Any:
        """A new definition of the model; its own cells are those of `programs`."""
        return specify(with_programs(self.model, self.programs))

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """The training curve, one row per evaluation; parsed on first access.

        Raises:
            ModelFormatError: `metrics.jsonl` is missing, broken, or of another model.
        """
        path = self.path / CURVE
        text = self.snapshot.text(CURVE, LARGEST)
        rows = [parse_json(line, path, finite=False) for line in split_lines(text)]
        if not all(isinstance(row, dict) and {"seconds", "best"} <= set(row) for row in rows):
            raise ModelFormatError(f"{path}: expected a JSON object with seconds and best on each line")
        self.snapshot.check_hashes(self.hashes, [CURVE])
        return rows


def folder_spec(description: Any) -> FolderSpec:
    """The files that a described model requires.

    Raises:
        UnsupportedLayer: a part is not built in.
        ModelFormatError, TypeError, ValueError: it does not describe a model.
    """
    model = specify(description)
    if not isinstance(model, PatternDefinition):
        raise ModelFormatError(f"expected a model, got {shown(model)}")
    tensors = model.tensor_specs
    _check_width(model, parameter_count(tensors))
    return FolderSpec(tensors, model.vocabularies, model.labels, model.problem_type, model.registered_name)


def _check_width(model: PatternDefinition, weights: int) -> None:
    """Raise a ValueError if the model computes far more values per item than it has weights: such a description is
    small, but the model could need any amount of memory."""
    if model.values_per_item > max(_MAX_WIDTH, _MAX_WIDTH_PER_WEIGHT * weights):
        raise ValueError(
            f"{model.signature}: expected layers whose outputs are in proportion to {weights:,} weights, got "
            f"{model.values_per_item:,} values per item"
        )


def read_folder(path: str | Path, make_spec: Callable[[Any], FolderSpec] = folder_spec) -> RuntimeFolder:
    """Read and check a model folder.

    Args:
        path: the folder.
        make_spec: description → `FolderSpec`; the training side also supports users' own layers.

    Raises:
        UnsupportedLayer: the model has a part that is not built in.
        ModelFormatError: it is not a model folder, or one of its files is missing, broken or of another version.
    """
    return read_at_once(Path(path), lambda folder: read_snapshot(folder, make_spec))


def read_snapshot(folder: Snapshot, make_spec: Callable[[Any], FolderSpec] = folder_spec) -> RuntimeFolder:
    """As `read_folder`, from a snapshot, whose files may have been read already."""
    config = read_config(folder)
    programs = read_programs(folder, config) if make_spec is folder_spec else {}
    spec = _read_spec(folder.path / CONFIG, config, lambda model: make_spec(with_programs(model, programs)))
    settings = _read_settings(folder.path / CONFIG, config)
    weights, hashes = config.get("weights", "float32"), config.get("files", {})
    tensors = read_tensors(folder, WEIGHTS, spec.tensors, weights)
    tokenizers = {name: _read_tokenizer(folder, f"{name}.json", size) for name, size in spec.vocabularies.items()}
    labels = None if spec.labels is None else _read_labels(folder, "labels.json", spec.labels)
    wide = _read_wide(folder, config, spec)
    folder.check_hashes(hashes, folder.files.keys() - {CONFIG, CURVE})
    try:
        folder.text(CURVE, LARGEST)
    except ModelFormatError as error:  # only needed for `history`
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
        _read_scheme(config, labels or []),
        float(config.get("outside_penalty", 0)),
        wide,
        _read_yardstick(folder.path / CONFIG, config, labels),
        config.get("chosen", []),
        hashes,
        programs,
    )


# config.json ----------------------------------------------------------------------------------------------------------


def _read_spec(path: Path, config: dict[str, Any], make_spec: Callable[[Any], FolderSpec]) -> FolderSpec:
    try:
        spec = make_spec(config["model"])
    except UnsupportedLayer:
        raise
    except Exception as error:  # a user's own constructor may raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFormatError(f"{path}: 'model' cannot be built: {reason}") from error
    _check_task(path, config, spec)
    return spec


def _read_settings(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The checked settings of the model; empty for an unknown task, which cannot be loaded."""
    if config["task"] not in TASKS:
        return {}
    try:
        return model_settings(config["settings"], config["task"])
    except SettingsError as error:
        raise ModelFormatError(f"{path}: {error}") from None


def _check_task(path: Path, config: dict[str, Any], spec: FolderSpec) -> None:
    """Raise unless task and settings match the model."""
    patterns = _PATTERNS.get(config["task"])
    if spec.pattern and patterns and spec.pattern not in patterns:
        expected = " or ".join(patterns)
        raise ModelFormatError(
            f"{path}: model: expected {expected} for the task {config['task']!r}, got {spec.pattern}"
        )
    problem_type = config["settings"].get("problem_type", "classification")
    if spec.problem_type and problem_type != spec.problem_type:
        raise ModelFormatError(
            f"{path}: settings: problem_type: expected the model's {spec.problem_type!r}, got {shown(problem_type)}"
        )


# The other files ------------------------------------------------------------------------------------------------------


def _read_tokenizer(folder: Snapshot, name: str, size: int) -> TextTokenizer:
    from stepscan.data.tokenizers import TextTokenizer  # models of numeric series do not need it

    path = folder.path / name
    tokenizer = TextTokenizer.parse(folder.text(name, LARGEST), path)
    if len(tokenizer) != size:
        raise ModelFormatError(
            f"{path}: expected {size} symbols, as in the embedding of config.json, got {len(tokenizer)}"
        )
    return tokenizer


def _read_scheme(config: dict[str, Any], labels: list[Any]) -> Scheme | None:
    if config["task"] != "tag":
        return None
    if "scheme" not in config:
        return legacy_scheme(labels)
    return config["scheme"] and Scheme.from_dict(config["scheme"])


def _read_wide(folder: Snapshot, config: dict[str, Any], spec: FolderSpec) -> WideModel | None:
    if config.get("wide") is None:
        return None
    if config["task"] not in ("classify", "tag"):
        raise ModelFormatError(
            f"{folder.path / CONFIG}: wide: expected the task 'classify' or 'tag' for a wide part, got "
            f"{config['task']!r}"
        )
    outputs = 1 if spec.labels is None else spec.labels
    mean = spec.tensors.get("embedding.mean")  # [D], of numeric series
    return read_wide(folder, config["wide"], config["task"], outputs, mean.shape[0] if mean else 0)


def _read_yardstick(path: Path, config: dict[str, Any], labels: list[Any] | None) -> dict[str, Any] | None:
    """The recorded yardstick; None if the model cannot give its answer, as when labels were renamed since."""
    yardstick = config.get("yardstick")
    if yardstick is not None and (answer := yardstick["answer"]) is not None:
        is_list = isinstance(answer, list)
        is_known = (
            isinstance(answer, int | float) if labels is None else all(map(labels.__contains__, _as_list(answer)))
        )
        if not is_known or is_list != (config["settings"].get("problem_type") == "multilabel"):
            logger.info("%s: the yardstick answers %s, which the model cannot; it is ignored", path, shown(answer))
            return None
    return yardstick


def _as_list(answer: Any) -> list[Any]:
    return answer if isinstance(answer, list) else [answer]


def _read_labels(folder: Snapshot, name: str, count: int) -> list[Any]:
    path, labels = folder.path / name, folder.json(name, LARGEST)
    if not isinstance(labels, list) or len(labels) != count:
        raise ModelFormatError(
            f"{path}: expected a list of {count} labels, as in config.json, got {_shown_count(labels)}"
        )
    kinds = {label_kind(label) for label in labels}
    if len(kinds) > 1 or None in kinds:
        raise ModelFormatError(
            f"{path}: expected labels that are all strings or all whole numbers, got {shown(labels)}"
        )
    if len(set(labels)) != count:
        duplicate = Counter(labels).most_common(1)[0][0]
        raise ModelFormatError(f"{path}: expected distinct labels, got {shown(duplicate)} twice")
    if invalid := next((label for label in labels if label_problem(label)), None):
        raise ModelFormatError(f"{path}: the label {shown(invalid)} {label_problem(invalid)}")
    return labels


def _shown_count(labels: Any) -> str:
    return f"{len(labels)} of them" if isinstance(labels, list) else shown(labels)
