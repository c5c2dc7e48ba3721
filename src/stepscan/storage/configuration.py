"""`config.json` of a model folder: its keys and their types."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stepscan.errors import ModelFormatError, nearest, shown
from stepscan.evaluation.schemes import Scheme
from stepscan.evaluation.yardstick import Yardstick
from stepscan.json_text import json_text
from stepscan.storage.format_upgrade import upgrade_config
from stepscan.storage.snapshot import Snapshot, digest
from stepscan.storage.tensor_file import SMALLER

FORMAT = "stepscan"
FORMAT_VERSION = 2
CONFIG, WEIGHTS, CURVE, CARD = "config.json", "model.safetensors", "metrics.jsonl", "README.md"
WIDE = "wide.safetensors"  # of a classifier or tagger with a wide part
PROGRAMS = "programs.safetensors"  # constants of the programs of a model's own cells
FILES = (  # all files that a model folder may have
    *(CONFIG, WEIGHTS, WIDE, PROGRAMS, "tokenizer.json", "source_tokenizer.json", "characters.json", "labels.json"),
    *(CURVE, CARD),
)
_KINDS = {"stepscan_version": str, "task": str, "settings": dict, "model": dict}
LARGEST = 2**28  # bytes of any file but the configuration and the weights
_LARGEST_CONFIG = 2**24
_LARGEST_PENALTY = 1_000_000


def read_config(folder: Snapshot) -> dict[str, Any]:
    """Read and check `config.json` of a model folder; the description in `model` is not checked.

    Raises:
        ModelFormatError: the file is missing, broken or of another version.
    """
    path = folder.path / CONFIG
    if not folder.has(CONFIG):
        raise ModelFormatError(f"{folder.path} is not a model folder: it has no config.json")
    config = folder.json(CONFIG, _LARGEST_CONFIG)
    if not isinstance(config, dict):
        raise ModelFormatError(f"{path}: expected an object, got {shown(config)}")
    _check_version(folder.path, path, config)
    _check_keys(path, config)
    return upgrade_config(config) if config["format_version"] == 1 else config


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write `config.json`, after all other files, with their SHA-256, except for the model card's."""
    hashes = {path.name: digest(path) for path in sorted(folder.iterdir()) if path.name not in (CONFIG, CARD)}
    text = json_text({**config, "files": hashes}, indent=2, default=os.fspath)
    (folder / CONFIG).write_text(text + "\n", "utf-8")


def _check_version(folder: Path, path: Path, config: dict[str, Any]) -> None:
    if config.get("format") != FORMAT:
        raise ModelFormatError(f"{path}: format: expected {FORMAT!r}, got {_shown_value(config, 'format')}")
    version = config.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise ModelFormatError(
            f"{folder} was written by a newer Stepscan: its format is {shown(version)}, this one reads "
            f"{FORMAT_VERSION}; update Stepscan"
        )
    if type(version) is not int or version < 1:
        raise ModelFormatError(
            f"{path}: format_version: expected 1 to {FORMAT_VERSION}, got {_shown_value(config, 'format_version')}"
        )


def _check_keys(path: Path, config: dict[str, Any]) -> None:
    kinds = {str: "a string", dict: "an object"}
    for key, kind in _KINDS.items():
        if not isinstance(config.get(key), kind):
            raise ModelFormatError(f"{path}: {key}: expected {kinds[kind]}, got {_shown_value(config, key)}")
    if (weights := config.get("weights", "float32")) not in tuple(SMALLER):
        raise ModelFormatError(f"{path}: weights: expected {', '.join(SMALLER)}, got {shown(weights)}")
    files = config.get("files", {})
    if not isinstance(files, dict) or not all(isinstance(item, str) for item in files.values()):
        raise ModelFormatError(f"{path}: files: expected an object of SHA-256 by file name, got {shown(files)}")
    _check_optional(path, config, "scheme", Scheme.from_dict)
    penalty, most = config.get("outside_penalty", 0.0), _LARGEST_PENALTY if config.get("scheme") else 0
    if type(penalty) not in (int, float) or not 0 <= penalty <= most:
        only = "" if most else " only, without a scheme of spans"
        raise ModelFormatError(
            f"{path}: outside_penalty: expected a number from 0 to {most:,}{only}, got {shown(penalty)}"
        )
    _check_optional(path, config, "yardstick", Yardstick.from_dict)
    selected = config.get("chosen", [])
    if not isinstance(selected, list) or not all(isinstance(item, str) for item in selected):
        raise ModelFormatError(f"{path}: chosen: expected a list of names of settings, got {shown(selected)}")
    known = (
        "format",
        "format_version",
        *_KINDS,
        "chosen",
        "weights",
        "scheme",
        "outside_penalty",
        "yardstick",
        "wide",
        "programs",
        "files",
    )
    for key in config:
        if key not in known:
            raise ModelFormatError(f"{path}: unknown key {shown(key)}.{nearest(key, known)}")


def _check_optional(path: Path, config: dict[str, Any], key: str, read: Callable[[Any], Any]) -> None:
    """Check a key that may be missing, as in folders of earlier versions."""
    if config.get(key) is not None:
        try:
            read(config[key])
        except ValueError as error:
            raise ModelFormatError(f"{path}: {key}: {error}, got {shown(config[key])}") from None


def _shown_value(config: dict[str, Any], key: str) -> str:
    return shown(config[key]) if key in config else "nothing"
