"""The native library, without torch: whether it is there, and what machine it sees."""

from __future__ import annotations

import importlib
from typing import Any

from stepscan.errors import SettingsError

library: Any = None
missing = ""  # why there is none
try:
    library = importlib.import_module("stepscan._native")
    library.instruction_set()  # that STEPSCAN_ISA names, if it is set
except ImportError as error:
    missing = str(error)
except ValueError as error:
    raise SettingsError(f"{error}; set it to one of these, or unset it") from None
