"""The native library, without torch: whether it is there, and what machine it sees."""

from __future__ import annotations

import importlib
from typing import Any

library: Any = None
missing = ""  # why there is none
try:
    library = importlib.import_module("stepscan._native")
except ImportError as error:
    missing = str(error)
