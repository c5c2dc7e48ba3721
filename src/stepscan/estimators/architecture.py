"""From settings to layers: which cell, how wide, how deep, in which directions."""

from __future__ import annotations

import inspect

from stepscan.combinators.bidirectional import Bidirectional
from stepscan.combinators.dropout import Dropout
from stepscan.combinators.stack import Stack
from stepscan.contract import Layer
from stepscan.errors import SettingsError, nearest
from stepscan.registry import registered_classes


def cell_names() -> list[str]:
    """Every registered cell: a layer that is constructed from `input_size` and `hidden_size`."""
    return sorted(name for name, cls in registered_classes().items() if _is_cell(cls))


def network(
    cell: str,
    input_size: int,
    hidden_size: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.0,
) -> Layer:
    """`layers` cells one above the other, each in one or both directions (`hidden_size` each), dropout between them."""
    if cell not in cell_names():
        raise SettingsError(f"unknown cell {cell!r}.{nearest(cell, cell_names())}")
    if layers < 1:
        raise SettingsError(f"layers must be at least 1, got {layers}")
    make = registered_classes()[cell]
    parts: list[Layer] = []
    for index in range(layers):
        width = parts[-1].output_size if parts else input_size
        if index and dropout:
            parts.append(Dropout(width, dropout))
        one = make(width, hidden_size)
        parts.append(Bidirectional(one, make(width, hidden_size)) if bidirectional else one)
    return parts[0] if len(parts) == 1 else Stack(parts)


def _is_cell(cls: type) -> bool:
    return issubclass(cls, Layer) and {"input_size", "hidden_size"} <= set(inspect.signature(cls).parameters)
