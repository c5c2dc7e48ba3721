"""Every cell, from the registry: a new one is in all tests that go over cells by being registered."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from stepscan.cells.catalogue import cell_classes
from stepscan.cells.cell import Cell
from stepscan.contract import Recurrence

_OWN = {name: cls for name, cls in sorted(cell_classes().items()) if cls.__module__.startswith("stepscan.")}
# name → class, made from `(input_size, hidden_size)`: those with a kernel, and those that are a step and nothing else
CELLS: dict[str, Any] = {name: cls for name, cls in _OWN.items() if issubclass(cls, Cell)}
STEPS: dict[str, Any] = {name: cls for name, cls in _OWN.items() if getattr(cls, "scan", None) is Recurrence.scan}


def _variants() -> dict[str, Callable[..., Any]]:
    made: dict[str, Callable[..., Any]] = dict(CELLS)
    for name, cls in CELLS.items():
        parameters = inspect.signature(cls).parameters
        if "bias" in parameters:
            made[f"{name}, no bias"] = functools.partial(cls, bias=False)
        if "nonlinearity" in parameters:
            made[f"{name}, relu"] = functools.partial(cls, nonlinearity="relu")
    return made


VARIANTS = _variants()  # and each without a bias, and with its other nonlinearity
