"""TOML files: settings of a training, recipes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from stepscan.data.lines import read_text
from stepscan.errors import SettingsError, place_of


def read_toml(path: str | Path) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        DataError: the file cannot be read.
        SettingsError: it is not TOML, or its lists and tables are nested too deeply to be read.
    """
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{place_of(path)} is not TOML: {error}") from None
    except RecursionError:
        raise SettingsError(
            f"{place_of(path)} is not TOML of settings: its lists or tables are nested too deeply"
        ) from None
