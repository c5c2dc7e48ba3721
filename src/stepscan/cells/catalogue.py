"""The registered cells, for `--cell`."""

from __future__ import annotations

import inspect
from typing import Any

from stepscan.contract import Layer
from stepscan.registry import registered_classes


def cell_classes() -> dict[str, Any]:
    """Every registered cell by name: a Layer whose constructor takes `input_size` and `hidden_size`."""
    return {name: cls for name, cls in registered_classes().items() if _is_cell(cls)}


def cell_names() -> list[str]:
    """The names of all registered cells, sorted."""
    return sorted(cell_classes())


def _is_cell(cls: type) -> bool:
    return issubclass(cls, Layer) and {"input_size", "hidden_size"} <= set(inspect.signature(cls).parameters)
