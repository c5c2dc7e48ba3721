"""The wide part in a model folder: its description in `config.json`, its tensors in `wide.safetensors`."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stepscan.backends.batches import Array
from stepscan.errors import ModelFormatError, nearest, shown
from stepscan.storage.configuration import CONFIG, WIDE
from stepscan.storage.snapshot import Snapshot
from stepscan.storage.tensor_file import expanded, read_tensors
from stepscan.wide.crf import TRANSITIONS, WideCRF
from stepscan.wide.model import FeatureExtractor, WideModel

_PREFIX = "features."  # of the names of the features' tensors
_EXTRACTORS = {  # registered name, also of the module → class, task, whether it reads texts
    "ngrams": ("NGramFeatures", "classify", True),
    "convolutions": ("ConvolutionFeatures", "classify", False),
    "token_features": ("TokenFeatures", "tag", True),
}


def describe_wide(wide: WideModel) -> dict[str, Any]:
    """The wide part as plain data for `config.json`."""
    return {"features": wide.features.description(), "shares": list(wide.shares)}


def wide_tensors(wide: WideModel) -> dict[str, Array]:
    """The arrays of `wide.safetensors`, by name."""
    features = {f"{_PREFIX}{name}": array for name, array in wide.features.tensors().items()}
    names = ("weight", "bias", *(TRANSITIONS if isinstance(wide, WideCRF) else ()))
    return {**features, **{name: getattr(wide, name) for name in names}}


def read_wide(folder: Snapshot, description: Any, task: str, outputs: int, dimensions: int) -> WideModel:
    """Read the wide part of a model.

    Args:
        folder: the model folder.
        description: `wide` in `config.json`.
        task: of the model.
        outputs: the number of scores of the network.
        dimensions: D of the series that the network reads; 0 if it reads texts.

    Raises:
        ModelFormatError: the description or the file is invalid.
    """
    config = f"{folder.path / CONFIG}: wide"
    if not isinstance(description, Mapping) or set(description) != {"features", "shares"}:
        raise ModelFormatError(f"{config}: expected an object of features and shares, got {shown(description)}")
    shares = _read_shares(config, description["shares"])
    extractor = _extractor_class(config, description["features"], task, dimensions)
    tensors = read_tensors(folder, WIDE, None, "float32")
    path = folder.path / WIDE
    weight, bias = (_pop(path, tensors, name) for name in ("weight", "bias"))
    transitions = {name: _pop(path, tensors, name) for name in (TRANSITIONS if task == "tag" else ())}
    feature_tensors = {n.removeprefix(_PREFIX): array for n, array in tensors.items() if n.startswith(_PREFIX)}
    if unknown := tensors.keys() - {f"{_PREFIX}{name}" for name in feature_tensors}:
        raise ModelFormatError(f"{path} does not fit config.json: nothing needs {shown(min(unknown))}")
    try:
        features: FeatureExtractor = extractor.from_tensors(description["features"], feature_tensors)
    except ValueError as error:
        raise ModelFormatError(f"{path} does not fit config.json: features: {error}") from None
    _check(path, "weight", weight, (features.size, outputs), np.float32, np.uint16)
    _check(path, "bias", bias, (outputs,), np.float32)
    weight = expanded({"weight": weight})["weight"]
    if not transitions:
        return WideModel(features, weight, bias, shares)
    for name, array in transitions.items():
        shape = (outputs, outputs) if name == "transitions" else (outputs,)
        _check(path, name, array, shape, np.float32, np.uint16)
    return WideCRF(features, weight, bias, shares, **expanded(transitions))


def _read_shares(config: str, shares: Any) -> tuple[float, float]:
    is_pair = isinstance(shares, list) and len(shares) == 2
    if not is_pair or not all(type(x) in (int, float) and 0 <= x <= 1e6 and math.isfinite(x) for x in shares):
        raise ModelFormatError(f"{config}: shares: expected two numbers from 0 to 1,000,000, got {shown(shares)}")
    return float(shares[0]), float(shares[1])


def _extractor_class(config: str, features: Any, task: str, dimensions: int) -> Any:
    """The class of the feature extractor, which must read what the network reads."""
    name = features.get("name") if isinstance(features, Mapping) else None
    known = [key for key, (_, extractor_task, _) in _EXTRACTORS.items() if extractor_task == task]
    if not isinstance(name, str) or name not in known:
        hint = nearest(name, known) if isinstance(name, str) else ""
        raise ModelFormatError(f"{config}: features: expected the name {' or '.join(known)}, got {shown(name)}.{hint}")
    class_name, _, reads_texts = _EXTRACTORS[name]
    if reads_texts != (not dimensions):
        inputs = ("series", "texts")
        raise ModelFormatError(
            f"{config}: features: expected features of {inputs[not dimensions]}, which the model reads, got {name}"
        )
    if features.get("dimensions", dimensions) != dimensions:
        raise ModelFormatError(
            f"{config}: features: dimensions: expected {dimensions}, as the model reads, got "
            f"{shown(features['dimensions'])}"
        )
    return getattr(importlib.import_module(f"stepscan.wide.{name}"), class_name)


def _pop(path: Path, tensors: dict[str, Array], name: str) -> Array:
    if name not in tensors:
        raise ModelFormatError(f"{path} does not fit config.json: {name} is missing")
    return tensors.pop(name)


def _check(path: Path, name: str, array: Array, shape: tuple[int, ...], *dtypes: Any) -> None:
    if array.shape != shape or array.dtype not in dtypes:
        raise ModelFormatError(
            f"{path} does not fit config.json: {name}: expected float32 {list(shape)}, got {array.dtype} "
            f"{list(array.shape)}"
        )
