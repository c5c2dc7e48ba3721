"""From settings to layers: which cell, how wide, how deep, in which directions."""

from __future__ import annotations

import inspect
from typing import Any

from stepscan.cells.transformer import Block
from stepscan.combinators.bidirectional import Bidirectional
from stepscan.combinators.dropout import Dropout, VariationalDropout
from stepscan.combinators.layer_norm import LayerNorm
from stepscan.combinators.stack import Stack
from stepscan.combinators.weight_drop import WeightDrop
from stepscan.combinators.zoneout import Zoneout
from stepscan.contract import Layer
from stepscan.errors import SettingsError, nearest
from stepscan.patterns.cross_attention import CrossAttention
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
    variational: bool = False,
    zoneout: float = 0.0,
    weight_drop: float = 0.0,
    memory_size: int = 0,
) -> Layer:
    """`layers` cells one above the other, each in one or both directions (`hidden_size` each), dropout between them.

    `cell` is one name, or one a layer with commas between. In both directions, a cell with a non-causal twin (a
    transformer) is that twin. One with dropout of its own has it within. Over a pre-norm block stands a last LayerNorm.
    With `variational`, dropout has one mask a sequence, and stands before the first layer too. With a `memory_size`,
    each cell is followed by a look at a memory of such items (`CrossAttention`).
    """
    names = _names(cell, layers)
    parts: list[Layer] = []
    for name in names:
        make = registered_classes()[name]
        width = parts[-1].output_size if parts else input_size
        if dropout and variational:
            parts.append(VariationalDropout(width, dropout))
        elif parts and dropout and not isinstance(parts[-1], Block | CrossAttention):
            parts.append(Dropout(width, dropout))
        own = {"dropout": dropout} if "dropout" in inspect.signature(make).parameters else {}
        twin = getattr(make, "noncausal", None)
        if bidirectional and twin is not None:
            parts.append(_noisy(twin(width, hidden_size, **own), zoneout, weight_drop))
        elif bidirectional:
            both = [_noisy(make(width, hidden_size, **own), zoneout, weight_drop) for _ in range(2)]
            parts.append(Bidirectional(*both))
        else:
            parts.append(_noisy(make(width, hidden_size, **own), zoneout, weight_drop))
        if memory_size:
            parts.append(CrossAttention(parts[-1].output_size, memory_size, dropout=dropout))
    if isinstance(parts[-1], Block | CrossAttention):
        parts.append(LayerNorm(parts[-1].output_size))
    return parts[0] if len(parts) == 1 else Stack(parts)


def _noisy(cell: Any, zoneout: float, weight_drop: float) -> Any:
    """The cell with noise on its state and on its recurrent weights; the draw of weights is of a whole scan."""
    try:
        cell = Zoneout(cell, zoneout) if zoneout else cell
        return WeightDrop(cell, weight_drop) if weight_drop else cell
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{error}; --zoneout and --weight-drop are for elman, lstm and gru") from None


def _names(cell: str, layers: int) -> list[str]:
    """The cell of each layer."""
    if layers < 1:
        raise SettingsError(f"layers must be at least 1, got {layers}")
    names = [name.strip() for name in cell.split(",")]
    for name in names:
        if name not in cell_names():
            raise SettingsError(f"unknown cell {name!r}.{nearest(name, cell_names())}")
    if len(names) > 1 and layers not in (1, len(names)):
        raise SettingsError(f"{cell!r} names {len(names)} cells, one a layer, but layers is {layers}; leave one away")
    return names * layers if len(names) == 1 else names


def _is_cell(cls: type) -> bool:
    return issubclass(cls, Layer) and {"input_size", "hidden_size"} <= set(inspect.signature(cls).parameters)
