"""TOML files: settings of a training run, recipes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from stepscan.data.lines import read_text
from stepscan.errors import SettingsError, display_path


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        DataError: the file cannot be read.
        SettingsError: it is not TOML, or its lists and tables are nested too deeply.
    """
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{display_path(path)}: expected TOML, got an error: {error}") from None
    except RecursionError:
        raise SettingsError(
            f"{display_path(path)}: expected TOML with settings, got lists or tables that are nested too deeply"
        ) from None
