"""The format of a data file, by its name or by the user's choice."""

from __future__ import annotations

from pathlib import Path

from stepscan.data.arrow import is_arrow
from stepscan.errors import SettingsError, nearest

TABLE_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl"}


def choose_format(path: str | Path, format: str | None, suffixes: dict[str, str], otherwise: str) -> str:
    """The format of a file.

    Args:
        path: the file.
        format: the user's choice; None: by the file's suffix (before any `.gz`).
        suffixes: the format of each known suffix, in lower case.
        otherwise: the format of all other files.

    Raises:
        SettingsError: the user's choice is not one of these formats.
    """
    if is_arrow(path):
        format = format or "arrow"
    if format is None:
        return suffixes.get(Path(Path(path).name.lower().removesuffix(".gz")).suffix, otherwise)
    known = {*suffixes.values(), otherwise, "arrow"} - {"table"}
    if format not in known:
        raise SettingsError(f"unknown format {format!r} for this data.{nearest(format, known)}")
    return format
