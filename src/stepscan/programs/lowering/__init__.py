"""From programs and their derivatives to what the native library runs: see `lower`."""

from stepscan.programs.lowering.encoding import Lowered
from stepscan.programs.lowering.homes import Unsupported
from stepscan.programs.lowering.lower import lower

__all__ = ["Lowered", "Unsupported", "lower"]
