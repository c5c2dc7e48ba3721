"""`config.json` of a model folder: what keys it has, and of what kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stepscan.errors import ModelFormatError, nearest
from stepscan.runtime.outline import shown
from stepscan.runtime.schemes import Scheme
from stepscan.runtime.tensor_file import SMALLER
from stepscan.runtime.untrusted import read_json

FORMAT = "stepscan"
FORMAT_VERSION = 1
WEIGHTS = tuple(SMALLER)  # what they may be kept in
_KINDS = {"stepscan_version": str, "task": str, "settings": dict, "model": dict}
_LARGEST = 2**24  # bytes


def read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` of a model folder holds; what its `model` describes is not looked at.

    Raises:
        ModelFormatError: the folder is none, or the file is missing, broken or of another version.
    """
    path = folder / "config.json"
    try:
        if not folder.is_dir():
            what = "is a file, not a model folder" if folder.exists() else "does not exist"
            raise ModelFormatError(
                f"{folder} {what}; a model folder is what `stepscan train … --out {folder.name}` writes"
            )
        if not path.is_file():
            raise ModelFormatError(f"{folder} is no model folder: it has no config.json")
    except OSError as error:
        raise ModelFormatError(f"{folder} cannot be read: {error.strerror}") from None
    config = read_json(path, _LARGEST)
    if not isinstance(config, dict):
        raise ModelFormatError(f"{path}: expected an object, got {shown(config)}")
    _check_version(folder, path, config)
    _check_keys(path, config)
    return config


def _check_version(folder: Path, path: Path, config: dict[str, Any]) -> None:
    if config.get("format") != FORMAT:
        raise ModelFormatError(f"{path}: format: expected {FORMAT!r}, got {_got(config, 'format')}")
    version = config.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise ModelFormatError(
            f"{folder} was written by a newer Stepscan: its format is {shown(version)}, this one reads "
            f"{FORMAT_VERSION}; update Stepscan"
        )
    if type(version) is not int or version != FORMAT_VERSION:
        raise ModelFormatError(
            f"{path}: format_version: expected {FORMAT_VERSION}, got {_got(config, 'format_version')}"
        )


def _check_keys(path: Path, config: dict[str, Any]) -> None:
    kinds = {str: "a string", dict: "an object"}
    for key, kind in _KINDS.items():
        if not isinstance(config.get(key), kind):
            raise ModelFormatError(f"{path}: {key}: expected {kinds[kind]}, got {_got(config, key)}")
    if (weights := config.get("weights", "float32")) not in WEIGHTS:
        raise ModelFormatError(f"{path}: weights: expected {', '.join(WEIGHTS)}, got {shown(weights)}")
    _check_scheme(path, config)
    known = ("format", "format_version", *_KINDS, "weights", "scheme")
    for key in config:
        if key not in known:
            raise ModelFormatError(f"{path}: {shown(key)} is no key of a model's configuration.{nearest(key, known)}")


def _check_scheme(path: Path, config: dict[str, Any]) -> None:
    """How the tags of a tagger mark spans, if they do; folders from before it was kept do not have it."""
    if config.get("scheme") is not None:
        try:
            Scheme.of(config["scheme"])
        except ValueError as error:
            raise ModelFormatError(f"{path}: scheme: {error}, got {shown(config['scheme'])}") from None


def _got(config: dict[str, Any], key: str) -> str:
    return shown(config[key]) if key in config else "nothing"
