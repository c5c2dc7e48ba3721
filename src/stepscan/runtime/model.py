"""What models in use have in common, on both sides; and models that were loaded to be used alone, without torch."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from stepscan.errors import ModelFormatError, SettingsError, nearest
from stepscan.runtime.folder import RuntimeFolder, expanded, read_folder, read_snapshot
from stepscan.runtime.layers import Options
from stepscan.runtime.networks.factory import build_network
from stepscan.runtime.schemes import Scheme
from stepscan.runtime.snapshot import Snapshot
from stepscan.runtime.wide import storage
from stepscan.runtime.wide.model import WideModel

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer
    from stepscan.runtime.yardstick import Yardstick

MOST_THREADS = 1024
_KINDS = {  # task → module and class, imported when such a model is loaded
    "classify": ("classifier", "Classifier"),
    "generate": ("language_model", "LanguageModel"),
    "tag": ("tagger", "Tagger"),
    "translate": ("translator", "Translator"),
}
_UNREAD = {  # task → inputs that its models have no way to read
    "classify": (None, "word_and_character_embedding"),
    "tag": (None,),
}


class Using:
    """Base of what a trained model can do, whether an estimator trained it or it was loaded to be used alone.

    All answers come from `network_`: one of `stepscan.runtime.networks`, or a torch pattern with their methods.
    """

    task: ClassVar[str]
    network_: Any
    tokenizers_: dict[str, TextTokenizer]
    labels_: list[Any] | None  # strings, or whole numbers
    scheme_: Scheme | None = None  # how its tags mark spans; None if they do not
    wide_: WideModel | None = None  # a linear model beside the network of a classifier or tagger
    yardstick_: dict[str, Any] | None = None  # a trivial model of the training data, as `Yardstick.described`

    def yardstick(self, *examples: Any, **options: Any) -> Yardstick | None:
        """What a trivial model scores on examples as `metrics` takes them; None if that cannot be known here."""
        return None

    def _check_usable(self) -> None:
        """Raise unless there is a trained model; one that was loaded always is."""


@dataclass(kw_only=True, eq=False, repr=False)
class RuntimeModel(Using):
    """A trained model that runs on the native kernels; see `load_model`.

    Args:
        folder: what was read.
        network_: one of `stepscan.runtime.networks`.
        tokenizers_: by their files' names, without `.json`.
        labels_: what it decides among; None if it decides nothing that has a name.
        weights: what the weights are kept as: `float32`, `bfloat16` or `int8`.
        threads: how many work together on one call.
        scheme_: how its tags mark spans; None if they do not.
        wide_: a linear model beside the network of a classifier or tagger; None if there is none.
        yardstick_: what a trivial model scored on the validation data; None in folders that do not say.
    """

    folder: RuntimeFolder
    network_: Any
    tokenizers_: dict[str, TextTokenizer]
    labels_: list[Any] | None
    weights: str
    threads: int
    scheme_: Scheme | None = None
    wide_: WideModel | None = None
    yardstick_: dict[str, Any] | None = None

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @property
    def settings(self) -> dict[str, Any]:
        """What it was trained with."""
        return self.folder.settings

    @property
    def history_(self) -> list[dict[str, Any]]:
        """The training curve, one row an evaluation; read when it is asked for."""
        return self.folder.history

    @cached_property
    def fingerprint(self) -> bytes:
        """16 bytes that tell it from any model that answers otherwise: of its description, labels, tokenizers and
        weights, and what these are kept as."""
        tokenizers = {name: tokenizer.to_json() for name, tokenizer in self.tokenizers_.items()}
        described = [self.folder.model, self.labels_, tokenizers, self.weights]
        tensors = self.folder.tensors
        if self.wide_ is not None:
            described.append(storage.describe_wide(self.wide_))
            tensors = tensors | {f"wide.{name}": one for name, one in storage.wide_tensors(self.wide_).items()}
        found = hashlib.blake2b(json.dumps(described, sort_keys=True).encode(), digest_size=16)
        for name, array in sorted(tensors.items()):
            found.update(name.encode())
            found.update(np.ascontiguousarray(array).data if array.size else b"")
        return found.digest()

    def session(self) -> Any:
        """A new `stepscan.runtime.sessions.Session`: one sequence, pushed piece by piece.

        Raises:
            SettingsError: the model cannot go one step at a time; the layer that is to blame is named.
        """
        from stepscan.runtime.sessions import session

        return session(self)

    def step_many(self, sessions: Sequence[Any], items: Sequence[Any]) -> list[Any]:
        """One item for each of several sessions, all in one batch: what each session's `push` would have returned; see
        `stepscan.runtime.sessions.step_many`."""
        from stepscan.runtime.sessions import step_many

        return step_many(self, sessions, items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, weights={self.weights!r}, threads={self.threads})"

    def __reduce__(self) -> tuple[Any, ...]:
        """The bytes of the folder, which may be gone when the pickle is read, and what was set since."""
        used = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _OF_THE_FOLDER}
        return _restored, (self.folder.snapshot, self.weights, self.threads), used


_OF_THE_FOLDER = ("folder", "network_", "tokenizers_", "labels_", "scheme_", "wide_", "yardstick_")


def load_model(path: str | Path, weights: str | None = None, threads: int = 1) -> Any:
    """Whichever runtime model a model folder holds; see `stepscan.runtime.load`.

    Raises:
        ModelFormatError: the folder is none, or one of its files is missing, broken or of another version.
        UnsupportedLayer: the model has a layer that only PyTorch can run.
        SettingsError: there are no such weights, or the number of threads is below 1.
    """
    if not 1 <= threads <= MOST_THREADS:
        raise SettingsError(f"threads: expected 1 to {MOST_THREADS:,}, got {threads}")
    return _model(read_folder(path), weights, threads)


def _restored(snapshot: Snapshot, weights: str, threads: int) -> Any:
    return _model(read_snapshot(snapshot), weights, threads)


def _model(folder: RuntimeFolder, weights: str | None, threads: int) -> Any:
    options = Options(weights or folder.weights, threads)
    check_inputs(folder.path, folder.task, folder.model)
    network = build_network(folder.model, expanded(folder.tensors), options)
    kind = _kind(folder.path, folder.task)
    return kind(
        folder=folder,
        network_=network,
        tokenizers_=folder.tokenizers,
        labels_=folder.labels,
        weights=options.weights,
        threads=threads,
        scheme_=folder.scheme,
        wide_=folder.wide,
        yardstick_=folder.yardstick,
        **_of_use(kind, folder.settings),
    )


def check_inputs(path: str | Path, task: str, description: dict[str, Any]) -> None:
    """Raise unless models of the task read what a described pattern reads.

    Raises:
        ModelFormatError: the pattern has no embedding, or one of another task.
    """
    [arguments] = description.values()
    if "embedding" not in arguments:
        return  # a user's own pattern
    embedding = arguments["embedding"]
    name = None if embedding is None else next(iter(embedding))
    if name in _UNREAD.get(task, ()):
        raise ModelFormatError(
            f"{Path(path) / 'config.json'}: expected a model to {task} that reads symbols or numbers, "
            f"got the embedding {name or 'null'}"
        )


def _kind(path: Path, task: str) -> Any:
    if task not in _KINDS:
        raise ModelFormatError(f"{path}: unknown task {task!r}.{nearest(task, _KINDS)}")
    module, name = _KINDS[task]
    return getattr(importlib.import_module(f"stepscan.runtime.{module}"), name)


def _of_use(kind: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Those settings that the kind of model has as attributes."""
    own = {field.name for field in fields(kind)} - {field.name for field in fields(RuntimeModel)}
    return {name: value for name, value in settings.items() if name in own}
