"""The names under which model folders are served."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from stepscan.errors import SettingsError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def named_folders(models: Sequence[str]) -> dict[str, Path]:
    """The folders of arguments `FOLDER` or `NAME=FOLDER`, by name.

    Raises:
        SettingsError: there are none, a name occurs twice, or it has other characters than letters, digits, `.`, `_`
            and `-`.
    """
    folders: dict[str, Path] = {}
    for argument in models:
        name, is_named, folder = argument.partition("=")
        if not is_named or not _NAME.fullmatch(name):
            name, folder = Path(argument).resolve().name, argument
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"model: expected a name of letters, digits, '.', '_' and '-', got {name!r}; write NAME={folder}"
            )
        if name in folders:
            raise SettingsError(f"model: expected different names, got {name!r} twice; write NAME={folder}")
        folders[name] = Path(folder)
    if not folders:
        raise SettingsError("model: expected at least one model folder, got none")
    return folders
