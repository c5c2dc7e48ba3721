"""Base of fitted models, shared by estimators and runtime models; and runtime models, loaded without torch."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from stepscan.backends.execution import Options
from stepscan.backends.python_layers import streaming
from stepscan.backends.weights import Weights
from stepscan.errors import ModelFormatError, SettingsError, nearest
from stepscan.evaluation.schemes import Scheme
from stepscan.storage import wide_part
from stepscan.storage.folder import RuntimeFolder, expanded, read_folder, read_snapshot
from stepscan.storage.snapshot import Snapshot
from stepscan.wide.model import WideModel

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer
    from stepscan.evaluation.yardstick import Yardstick

MOST_THREADS = 1024
_CLASSES = {  # task → module and class, imported when such a model is loaded
    "classify": ("classifier", "Classifier"),
    "forecast": ("forecaster", "Forecaster"),
    "generate": ("language_model", "LanguageModel"),
    "tag": ("tagger", "Tagger"),
    "translate": ("translator", "Translator"),
}
_UNSUPPORTED_EMBEDDINGS = {  # task → embeddings that its models cannot use
    "classify": (None, "word_and_character_embedding"),
    "tag": (None,),
}


class FittedModel:
    """Base of the mixins that give a fitted model its methods, whether it is an estimator or a `RuntimeModel`.

    All predictions are computed by `network_`: a definition of a pattern on arrays, or the torch pattern that
    inherits it.
    """

    task: ClassVar[str]
    network_: Any
    threads: int  # of the native library, at most
    tokenizers_: dict[str, TextTokenizer]
    labels_: list[Any] | None  # strings, or whole numbers
    scheme_: Scheme | None = None  # of tags that mark spans, else None
    outside_penalty_: float = 0.0  # subtracted from the score of O where tags that mark spans are predicted
    wide_: WideModel | None = None  # the linear model that is added to the network of a classifier or tagger
    yardstick_: dict[str, Any] | None = None  # a trivial model of the training data, as `Yardstick.to_dict`

    def yardstick(self, *examples: Any, **options: Any) -> Yardstick | None:
        """The score of a trivial model on examples as in `metrics`; None if it is not known."""
        return None

    members_: Sequence[Any] = ()  # the models of an ensemble

    @property
    def stepping_network(self) -> Any:
        """What decodes, a step at a time."""
        return self.network_

    def with_network(self, network: Any) -> Self:
        """A copy of the model that predicts with another network."""
        raise NotImplementedError

    def _check_usable(self) -> None:
        """Raise unless the model is fitted; a loaded model always is."""


@dataclass(kw_only=True, eq=False, repr=False)
class RuntimeModel(FittedModel):
    """A fitted model that runs on the native kernels; see `load_model`.

    Args:
        folder: the model folder.
        network_: the definition of its pattern, on arrays.
        tokenizers_: by their files' names, without `.json`.
        labels_: classes, labels or tags; None for a model without any.
        weights: storage type of the weights in memory: `float32`, `bfloat16` or `int8`.
        threads: number of threads per call, at most.
        scheme_: the scheme of tags that mark spans, else None.
        outside_penalty_: subtracted from the score of O where tags that mark spans are predicted.
        wide_: the linear model that is added to the network of a classifier or tagger; None if there is none.
        yardstick_: the score of a trivial model on the validation data; None if the folder does not record it.
    """

    folder: RuntimeFolder
    network_: Any
    tokenizers_: dict[str, TextTokenizer]
    labels_: list[Any] | None
    weights: str
    threads: int
    scheme_: Scheme | None = None
    outside_penalty_: float = 0.0
    wide_: WideModel | None = None
    yardstick_: dict[str, Any] | None = None

    @property
    def path(self) -> Path:
        """The model folder."""
        return self.folder.path

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the model was trained with."""
        return self.folder.settings

    @property
    def history_(self) -> list[dict[str, Any]]:
        """The training curve, one row per evaluation; parsed on first access."""
        return self.folder.history

    @cached_property
    def fingerprint(self) -> bytes:
        """A hash of 16 bytes over the description, labels, tokenizers, and weights with their storage type."""
        tokenizers = {name: tokenizer.to_json() for name, tokenizer in self.tokenizers_.items()}
        parts: list[Any] = [self.folder.model, self.labels_, tokenizers, self.weights]
        parts += [self.outside_penalty_] if self.outside_penalty_ else []  # models without keep their fingerprint
        tensors = self.folder.tensors
        for position, (stored, constants) in self.folder.programs.items():
            parts.append(stored.to_json())
            tensors = tensors | {f"program.{position}.{index}": array for index, array in enumerate(constants)}
        if self.wide_ is not None:
            parts.append(wide_part.describe_wide(self.wide_))
            tensors = tensors | {f"wide.{name}": tensor for name, tensor in wide_part.wide_tensors(self.wide_).items()}
        hasher = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16)
        for name, array in sorted(tensors.items()):
            hasher.update(name.encode())
            hasher.update(np.ascontiguousarray(array).data if array.size else b"")
        return hasher.digest()

    @property
    def usage(self) -> dict[str, Any]:
        """The settings of use by name, such as those of beam search, and the storage type of the weights."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _FOLDER_FIELDS}

    def with_network(self, network: Any) -> Self:
        return replace(self, network_=network)

    def session(self, source: str | None = None) -> Any:
        """A new `stepscan.models.sessions.Session`, which reads one sequence in pieces; that of a translator reads
        and writes a translation of `source`.

        Raises:
            SettingsError: the model is not causal (the layer is named), has a CRF, or is an ensemble; a translator is
                given no source, or another model one.
        """
        from stepscan.models.sessions import session

        return session(self, source)

    def step_batch(self, sessions: Sequence[Any], items: Sequence[Any]) -> list[Any]:
        """Push one item to each of several sessions in one batch; see `stepscan.models.sessions.step_batch`."""
        from stepscan.models.sessions import step_batch

        return step_batch(self, sessions, items)

    def push_batch(self, sessions: Sequence[Any], pieces: Sequence[Any]) -> list[Any]:
        """Push a piece to each of several sessions in one batch; see `stepscan.models.sessions.push_batch`."""
        from stepscan.models.sessions import push_batch

        return push_batch(self, sessions, pieces)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, weights={self.weights!r}, threads={self.threads})"

    def __reduce__(self) -> tuple[Any, ...]:
        """The bytes of the folder, which may no longer exist when the pickle is loaded, and settings changed since."""
        if self.members_:
            from stepscan.models.ensemble import ensemble

            return ensemble, (list(self.members_),), self.usage
        return _restore, (self.folder.snapshot, self.weights, self.threads), self.usage


_FOLDER_FIELDS = ("folder", "network_", "tokenizers_", "labels_", "scheme_", "outside_penalty_", "wide_", "yardstick_")


def load_model(path: str | Path, weights: str | None = None, threads: int = 1) -> Any:
    """The runtime model in a model folder; see `stepscan.runtime.load`.

    Raises:
        ModelFormatError: it is not a model folder, or one of its files is missing, broken or of another version.
        UnsupportedLayer: the model has a layer that only PyTorch can run.
        SettingsError: `weights` is unknown, or `threads` is out of range.
    """
    if not 1 <= threads <= MOST_THREADS:
        raise SettingsError(f"threads: expected 1 to {MOST_THREADS:,}, got {threads}")
    return _build_model(read_folder(path), weights, threads)


def _restore(snapshot: Snapshot, weights: str, threads: int) -> Any:
    return _build_model(read_snapshot(snapshot), weights, threads)


def _build_model(folder: RuntimeFolder, weights: str | None, threads: int) -> Any:
    options = Options(weights or folder.weights, threads)
    check_inputs(folder.path, folder.task, folder.model)
    network = folder.definition.bind(Weights(expanded(folder.tensors), options))
    if folder.programs and hasattr(network, "layer"):
        network.layer = streaming(network.layer)
    model_class = _model_class(folder.path, folder.task)
    return model_class(
        folder=folder,
        network_=network,
        tokenizers_=folder.tokenizers,
        labels_=folder.labels,
        weights=options.weights,
        threads=threads,
        scheme_=folder.scheme,
        outside_penalty_=folder.outside_penalty,
        wide_=folder.wide,
        yardstick_=folder.yardstick,
        **_usage_settings(model_class, folder.settings),
    )


def check_inputs(path: str | Path, task: str, description: dict[str, Any]) -> None:
    """Check that models of the task support the embedding of a described pattern.

    Raises:
        ModelFormatError: the pattern has no embedding, or one that the task does not support.
    """
    [arguments] = description.values()
    if "embedding" not in arguments:
        return  # a user's own pattern
    embedding = arguments["embedding"]
    name = None if embedding is None else next(iter(embedding))
    if name in _UNSUPPORTED_EMBEDDINGS.get(task, ()):
        raise ModelFormatError(
            f"{Path(path) / 'config.json'}: embedding: expected one that models for the task {task!r} can use, "
            f"got {name or 'null'}"
        )


def _model_class(path: Path, task: str) -> Any:
    if task not in _CLASSES:
        raise ModelFormatError(f"{path}: unknown task {task!r}.{nearest(task, _CLASSES)}")
    module, name = _CLASSES[task]
    return getattr(importlib.import_module(f"stepscan.models.{module}"), name)


def _usage_settings(model_class: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that are fields of the model class, such as those of beam search."""
    names = {field.name for field in fields(model_class)} - {field.name for field in fields(RuntimeModel)}
    return {name: value for name, value in settings.items() if name in names}
