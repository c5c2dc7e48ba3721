"""From settings to layers: which cell, how wide, how deep, in which directions."""

from __future__ import annotations

import inspect
from typing import Any

from stepscan.cells.catalogue import cell_names
from stepscan.cells.initialisation import Initialisation
from stepscan.cells.transformer import TransformerBlock
from stepscan.combinators.bidirectional import Bidirectional
from stepscan.combinators.dropout import Dropout, VariationalDropout
from stepscan.combinators.layer_norm import LayerNorm
from stepscan.combinators.linear import Linear
from stepscan.combinators.residual import Residual
from stepscan.combinators.stack import Stack
from stepscan.combinators.weight_drop import WeightDrop
from stepscan.combinators.zoneout import Zoneout
from stepscan.contract import Layer
from stepscan.errors import SettingsError, nearest
from stepscan.patterns.cross_attention import CrossAttention
from stepscan.registry import registered_classes


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
    initialisation: Initialisation = Initialisation(),  # noqa: B008
    residual: bool = False,
) -> Layer:
    """`layers` cells one above the other, each in one or both directions (`hidden_size` each), dropout between them.

    `cell` is one name, or one a layer with commas between. In both directions, a cell with a non-causal twin (a
    transformer) is that twin. One with dropout of its own has it within. Over a pre-norm block stands a last LayerNorm.
    With `variational`, dropout has one mask a sequence, and stands before the first layer too. With a `memory_size`,
    each cell is followed by a look at a memory of such items (`CrossAttention`). With `residual`, what a layer takes is
    added to what it gives (dropout acts on what it takes alone); where the widths differ, at the bottom, a projection
    stands before it.
    """
    parts: list[Layer] = []
    for index, name in enumerate(_names(cell, layers)):
        make = registered_classes()[name]
        twice = bidirectional and not hasattr(make, "bidirectional_class")
        width = parts[-1].output_size if parts else input_size
        if residual and width != (1 + twice) * hidden_size:
            parts.append(Linear(width, (1 + twice) * hidden_size))
            width = parts[-1].output_size
        noise: list[Layer] = []
        if dropout and variational:
            noise = [VariationalDropout(width, dropout)]
        elif index and dropout and not isinstance(parts[-1], TransformerBlock | CrossAttention):
            noise = [Dropout(width, dropout)]
        make = make.bidirectional_class if bidirectional and not twice else make
        own = _arguments(name, make, dropout, initialisation)
        both = [_noisy(_made(make, width, hidden_size, own), zoneout, weight_drop) for _ in range(1 + twice)]
        layer = Bidirectional(*both) if twice else both[0]
        parts += [_residual(noise, layer)] if residual else [*noise, layer]
        if memory_size:
            parts.append(CrossAttention(parts[-1].output_size, memory_size, dropout=dropout))
    if isinstance(parts[-1], TransformerBlock | CrossAttention):
        parts.append(LayerNorm(parts[-1].output_size))
    return parts[0] if len(parts) == 1 else Stack(parts)


def _arguments(name: str, make: Any, dropout: float, initialisation: Initialisation) -> dict[str, Any]:
    """What else the cell of that name is constructed with: its own dropout, and how its weights begin."""
    known = inspect.signature(make).parameters
    kind, t_max, forget_bias = initialisation
    given = {"initialisation": None if kind == "orthogonal" else kind, "t_max": t_max, "forget_bias": forget_bias}
    found: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if "initialisation" in found and "initialisation" in known and "t_max" not in known:
        found.pop("t_max", None)  # the cell says that it has no chrono initialisation
    for key, value in found.items():
        if key not in known:
            raise SettingsError(f"{key}={value!r} is for {_having(key)}, but the cell is {name}")
    if kind == "identity" and "nonlinearity" in known:
        found["nonlinearity"] = "relu"  # Le et al. 2015
    return found | ({"dropout": dropout} if "dropout" in known else {})


def _having(argument: str) -> str:
    """The cells whose constructor takes an argument."""
    cells = registered_classes()
    names = [name for name in cell_names() if argument in inspect.signature(cells[name]).parameters]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _made(make: Any, width: int, hidden_size: int, arguments: dict[str, Any]) -> Any:
    try:
        return make(width, hidden_size, **arguments)
    except ValueError as error:
        if {"initialisation", "t_max", "forget_bias"} & set(arguments):
            raise SettingsError(str(error)) from None
        raise


def _residual(noise: list[Layer], layer: Layer) -> Layer:
    """A layer and the noise before it, beside what it takes."""
    if isinstance(layer, TransformerBlock):
        raise SettingsError(f"residual is for elman, lstm and gru; a {layer.registered_name} has residuals of its own")
    return Residual(Stack([*noise, layer]) if noise else layer)


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
        raise SettingsError(f"layers: expected at least 1, got {layers}")
    names = [name.strip() for name in cell.split(",")]
    for name in names:
        if name not in cell_names():
            raise SettingsError(f"unknown cell {name!r}.{nearest(name, cell_names())}")
    if len(names) > 1 and layers not in (1, len(names)):
        raise SettingsError(f"{cell!r} names {len(names)} cells, one a layer, but layers is {layers}; leave one away")
    return names * layers if len(names) == 1 else names
