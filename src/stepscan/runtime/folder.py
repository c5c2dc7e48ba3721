"""Reads a model folder without torch.

A folder may come from anybody. What its files say is held against their sizes and against each other before anything
large is allocated; the first thing that does not fit is one `ModelFormatError`, with the file and what is wrong in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stepscan.errors import ModelFormatError, UnsupportedLayer
from stepscan.runtime.configuration import CONFIG, CURVE, LARGEST, WEIGHTS, read_config
from stepscan.runtime.outline import PatternOutline, Tensors, outline, shown
from stepscan.runtime.snapshot import Snapshot, read_at_once
from stepscan.runtime.tensor_file import expanded, read_tensors
from stepscan.runtime.untrusted import parsed

if TYPE_CHECKING:
    from stepscan.data.tokenizers import TextTokenizer

__all__ = ["Needs", "RuntimeFolder", "expanded", "needs", "read_folder"]

_PATTERNS = {
    "classify": ("encoder",),
    "generate": ("generator", "forecaster"),
    "tag": ("transducer", "crf_transducer"),
    "translate": ("conditioned_generator",),
}
_BYTES = 260  # symbols where bytes are, four special ones with them


class Needs(NamedTuple):
    """What a model needs of the files beside `config.json`."""

    tensors: Tensors
    vocabularies: dict[str, int]  # file of a tokenizer, without `.json` → number of symbols
    labels: int | None  # how many; None for a model that decides nothing, or a number
    decision: str = ""  # of an encoder
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
        rows = [parsed(line, path, finite=False) for line in text.splitlines()]
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
    return Needs(found.tensors, found.vocabularies, found.labels, found.decision, found.name)


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
    needed = _needed(folder.path / "config.json", config, needs)
    weights, hashes = config.get("weights", "float32"), config.get("files", {})
    tensors = read_tensors(folder, WEIGHTS, needed.tensors, weights)
    tokenizers = {name: _read_tokenizer(folder, f"{name}.json", size) for name, size in needed.vocabularies.items()}
    labels = None if needed.labels is None else _read_labels(folder, "labels.json", needed.labels)
    folder.check_whole(hashes, folder.files.keys() - {CONFIG, CURVE})
    try:
        folder.text(CURVE, LARGEST)
    except ModelFormatError as error:  # who only uses a model does not need it
        if not folder.is_current:
            raise
        folder.faults[CURVE] = str(error)
    return RuntimeFolder(
        folder, config["task"], config["settings"], config["model"], weights, tensors, tokenizers, labels, hashes
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


def _check_agreement(path: Path, config: dict[str, Any], found: Needs) -> None:
    """Raise if task or settings are those of another model."""
    expected = _PATTERNS.get(config["task"])
    if found.pattern and expected and found.pattern not in expected:
        wanted = " or ".join(expected)
        raise ModelFormatError(f"{path}: the task is {config['task']!r}, but the model is no {wanted}: {found.pattern}")
    decision = config["settings"].get("decision", "class")
    if found.decision and decision != found.decision:
        raise ModelFormatError(
            f"{path}: settings: the decision is {shown(decision)}, but the model's is {found.decision!r}"
        )


# The other files ------------------------------------------------------------------------------------------------------


def _read_tokenizer(folder: Snapshot, name: str, size: int) -> TextTokenizer:
    from tokenizers import Tokenizer  # a model of numbers does without

    from stepscan.data.tokenizers import TextTokenizer

    path, text = folder.path / name, folder.text(name, LARGEST)
    try:
        found = Tokenizer.from_str(text)
        _check_plain(found)
        tokenizer = TextTokenizer(found)
    except BaseException as error:  # tokenizers raises nothing more precise, and its panics are no Exceptions
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        reason = "".join(letter for letter in str(error)[:300] if letter.isprintable())
        raise ModelFormatError(f"{path}: expected a tokenizer, but: {reason}.") from None
    if tokenizer.kind == "byte" and len(tokenizer) != _BYTES:
        raise ModelFormatError(f"{path}: expected {_BYTES} symbols for a tokenizer of bytes, got {len(tokenizer)}")
    if len(tokenizer) != size:
        raise ModelFormatError(
            f"{path} is not of this model: it has {len(tokenizer)} symbols, but config.json has an embedding of {size}"
        )
    return tokenizer


def _check_plain(tokenizer: Any) -> None:
    """Raise if it does what none of ours does, such as padding with an id that no embedding has."""
    for part in ("padding", "truncation", "post_processor"):
        if getattr(tokenizer, part) is not None:
            raise ModelFormatError(f"it has {part}, which Stepscan's have not")
    model = tokenizer.model
    kind, unknown = type(model).__name__, getattr(model, "unk_token", None)
    if (kind, unknown) not in (("WordLevel", "<unk>"), ("BPE", None)):
        raise ModelFormatError(
            f"it is a {kind} whose unknown token is {unknown!r}; expected WordLevel with '<unk>', or BPE"
        )
    if kind == "BPE" and model.dropout:
        raise ModelFormatError("its dropout would make it give other ids each time")


def _read_labels(folder: Snapshot, name: str, count: int) -> list[Any]:
    path, labels = folder.path / name, folder.json(name, LARGEST)
    if not isinstance(labels, list) or len(labels) != count:
        raise ModelFormatError(f"{path}: expected a list of {count} labels, as in config.json, got {_counted(labels)}")
    if not any(all(isinstance(label, kind) for label in labels) for kind in (str, int)):
        raise ModelFormatError(
            f"{path}: expected labels that are all strings or all whole numbers, got {shown(labels)}"
        )
    if len(set(labels)) != count:
        twice = Counter(labels).most_common(1)[0][0]
        raise ModelFormatError(f"{path}: the label {shown(twice)} stands there twice")
    if halves := [label for label in labels if isinstance(label, str) and not _is_unicode(label)]:
        raise ModelFormatError(f"{path}: the label {shown(halves[0])} is not valid Unicode (half a surrogate pair)")
    return labels


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _counted(labels: Any) -> str:
    return f"{len(labels)} of them" if isinstance(labels, list) else shown(labels)
