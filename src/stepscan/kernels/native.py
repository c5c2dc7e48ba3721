"""The native library, without torch: the module, or None and the reason."""

from __future__ import annotations

import importlib
from typing import Any

from stepscan.errors import SettingsError

library: Any = None
missing = ""  # why the library is None
try:
    library = importlib.import_module("stepscan._native")
    library.instruction_set()  # checks STEPSCAN_ISA, if it is set
except ImportError as error:
    missing = str(error)
except ValueError as error:
    raise SettingsError(f"{error}; set it to one of these, or unset it") from None
