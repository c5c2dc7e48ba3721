"""The wide part in a model folder: its description in `config.json`, its tensors in `wide.safetensors`."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stepscan.errors import ModelFormatError, nearest
from stepscan.runtime.batches import Array
from stepscan.runtime.configuration import CONFIG, WIDE
from stepscan.runtime.outline import shown
from stepscan.runtime.snapshot import Snapshot
from stepscan.runtime.tensor_file import expanded, read_tensors
from stepscan.runtime.wide.crf import TRANSITIONS, WideChain
from stepscan.runtime.wide.model import Features, Wide

_OF_FEATURES = "features."  # before the names of their tensors
_KINDS = {  # name → class, the task it is for, and whether it reads texts
    "ngrams": ("NGrams", "classify", True),
    "convolutions": ("Convolutions", "classify", False),
    "token_features": ("TokenFeatures", "tag", True),
}


def described(wide: Wide) -> dict[str, Any]:
    """What `config.json` says of it."""
    return {"features": wide.features.description(), "shares": list(wide.shares)}


def tensors_of(wide: Wide) -> dict[str, Array]:
    """What its file holds."""
    of_features = {f"{_OF_FEATURES}{name}": array for name, array in wide.features.tensors().items()}
    return {**of_features, **{name: getattr(wide, name) for name in ("weight", "bias", *_of_chain(wide))}}


def _of_chain(wide: Wide) -> tuple[str, ...]:
    return TRANSITIONS if isinstance(wide, WideChain) else ()


def read_wide(folder: Snapshot, description: Any, task: str, outputs: int, dimensions: int) -> Wide:
    """The wide part of a model.

    Args:
        folder: the files.
        description: of it, in `config.json`.
        task: of the model.
        outputs: how many scores the network gives.
        dimensions: of the series that the network reads; 0 if it reads texts.

    Raises:
        ModelFormatError: the description, or the file, is not of such a part.
    """
    where = f"{folder.path / CONFIG}: wide"
    if not isinstance(description, Mapping) or set(description) != {"features", "shares"}:
        raise ModelFormatError(f"{where}: expected an object of features and shares, got {shown(description)}")
    shares = _shares(where, description["shares"])
    kind = _kind(where, description["features"], task, dimensions)
    tensors = read_tensors(folder, WIDE, None, "float32")
    path = folder.path / WIDE
    weight, bias = (_taken(path, tensors, name) for name in ("weight", "bias"))
    chain = {name: _taken(path, tensors, name) for name in (TRANSITIONS if task == "tag" else ())}
    own = {name.removeprefix(_OF_FEATURES): array for name, array in tensors.items() if name.startswith(_OF_FEATURES)}
    if other := tensors.keys() - {f"{_OF_FEATURES}{name}" for name in own}:
        raise ModelFormatError(f"{path} does not fit config.json: nothing needs {shown(min(other))}")
    try:
        features: Features = kind.from_tensors(description["features"], own)
    except ValueError as error:
        raise ModelFormatError(f"{path} does not fit config.json: features: {error}") from None
    _check(path, "weight", weight, (features.size, outputs), np.float32, np.uint16)
    _check(path, "bias", bias, (outputs,), np.float32)
    weight = expanded({"weight": weight})["weight"]
    if not chain:
        return Wide(features, weight, bias, shares)
    for name, array in chain.items():
        shape = (outputs, outputs) if name == "transitions" else (outputs,)
        _check(path, name, array, shape, np.float32, np.uint16)
    return WideChain(features, weight, bias, shares, **expanded(chain))


def _shares(where: str, shares: Any) -> tuple[float, float]:
    is_pair = isinstance(shares, list) and len(shares) == 2
    if not is_pair or not all(type(one) in (int, float) and 0 <= one <= 1e6 and math.isfinite(one) for one in shares):
        raise ModelFormatError(f"{where}: shares: expected two numbers from 0 to 1,000,000, got {shown(shares)}")
    return float(shares[0]), float(shares[1])


def _kind(where: str, features: Any, task: str, dimensions: int) -> Any:
    """The class of the features, which must be of what the network reads."""
    name = features.get("name") if isinstance(features, Mapping) else None
    own = [one for one, (_, of_task, _) in _KINDS.items() if of_task == task]
    if not isinstance(name, str) or name not in own:
        hint = nearest(name, own) if isinstance(name, str) else ""
        raise ModelFormatError(f"{where}: features: expected the name {' or '.join(own)}, got {shown(name)}.{hint}")
    kind, _, reads_texts = _KINDS[name]
    if reads_texts != (not dimensions):
        what = ("series", "texts")
        raise ModelFormatError(
            f"{where}: features: {name} are of {what[reads_texts]}, but the model reads {what[not dimensions]}"
        )
    if features.get("dimensions", dimensions) != dimensions:
        raise ModelFormatError(
            f"{where}: features: dimensions: expected {dimensions}, as the model reads, got "
            f"{shown(features['dimensions'])}"
        )
    return getattr(importlib.import_module(f"stepscan.runtime.wide.{name}"), kind)


def _taken(path: Path, tensors: dict[str, Array], name: str) -> Array:
    if name not in tensors:
        raise ModelFormatError(f"{path} does not fit config.json: {name} is missing")
    return tensors.pop(name)


def _check(path: Path, name: str, array: Array, shape: tuple[int, ...], *dtypes: Any) -> None:
    if array.shape != shape or array.dtype not in dtypes:
        raise ModelFormatError(
            f"{path} does not fit config.json: {name}: expected float32 {list(shape)}, got {array.dtype} "
            f"{list(array.shape)}"
        )
