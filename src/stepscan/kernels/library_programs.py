"""Programs as the native library runs them, without torch: each is lowered once."""

from __future__ import annotations

import functools
from typing import Any

from stepscan.kernels.native import library
from stepscan.programs.derivative import differentiate
from stepscan.programs.lowering import lower
from stepscan.programs.program import Program

__all__ = ["inference_program", "training_program"]


@functools.lru_cache(maxsize=256)
def inference_program(program: Program) -> Any:
    """The library's program of a step.

    Raises:
        Unsupported, ValueError: the library cannot run it.
    """
    return library.Program(list(lower(program).numbers))


@functools.lru_cache(maxsize=256)
def training_program(program: Program) -> Any:
    """The library's program of a step and its derivative; see `inference_program`."""
    return library.Program(list(lower(differentiate(program)).numbers))
