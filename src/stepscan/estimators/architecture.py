"""Builds a layer from settings: cells, sizes, depth, directions and regularisation."""

from __future__ import annotations

import inspect
from typing import Any

from stepscan.cells.catalogue import cell_names
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
from stepscan.definitions.initialisation import Initialisation
from stepscan.errors import SettingsError, nearest
from stepscan.patterns.cross_attention import CrossAttention
from stepscan.registry import registered_classes


def build_layer(
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
    """A stack of `layers` cells with dropout between them; a single cell without others is returned as it is.

    Args:
        cell: a registered name, or one per layer, separated by commas.
        input_size: of the first layer.
        hidden_size: of each cell and direction.
        layers: number of layers; 1 or the number of names in `cell` if that has several.
        bidirectional: whether cells run in both directions; a cell with a non-causal version (a transformer) is
            replaced by that.
        dropout: probability; a cell with a dropout of its own gets it as an argument.
        variational: whether dropout uses one mask per sequence; it then acts before the first layer too.
        zoneout, weight_drop: probabilities; see `Zoneout` and `WeightDrop`.
        memory_size: size of the items of a memory that a `CrossAttention` after each cell attends to; 0 for none.
        initialisation: of the cells.
        residual: whether each layer's input, before dropout, is added to its output; a projection precedes the first
            layer if its sizes differ.

    Raises:
        SettingsError: an unknown cell, or a setting that it does not have.
    """
    modules: list[Layer] = []  # the last one after a pre-norm block is a LayerNorm
    for index, name in enumerate(_cell_per_layer(cell, layers)):
        cell_class = registered_classes()[name]
        noncausal = getattr(cell_class, "bidirectional_class", None) if bidirectional else None
        directions = 2 if bidirectional and noncausal is None else 1
        width = modules[-1].output_size if modules else input_size
        if residual and width != directions * hidden_size:
            modules.append(Linear(width, directions * hidden_size))
            width = modules[-1].output_size
        noise: list[Layer] = []
        if dropout and variational:
            noise = [VariationalDropout(width, dropout)]
        elif index and dropout and not isinstance(modules[-1], TransformerBlock | CrossAttention):
            noise = [Dropout(width, dropout)]
        cell_class = noncausal or cell_class
        arguments = _cell_arguments(name, cell_class, dropout, initialisation)
        cells = [
            _with_noise(_make_cell(cell_class, width, hidden_size, arguments), zoneout, weight_drop)
            for _ in range(directions)
        ]
        layer = Bidirectional(*cells) if directions == 2 else cells[0]
        modules += [_with_residual(noise, layer)] if residual else [*noise, layer]
        if memory_size:
            modules.append(CrossAttention(modules[-1].output_size, memory_size, dropout=dropout))
    if isinstance(modules[-1], TransformerBlock | CrossAttention):
        modules.append(LayerNorm(modules[-1].output_size))
    return modules[0] if len(modules) == 1 else Stack(modules)


def _cell_arguments(name: str, cell_class: Any, dropout: float, initialisation: Initialisation) -> dict[str, Any]:
    """The keyword arguments of a cell: its dropout, and its initialisation."""
    parameters = inspect.signature(cell_class).parameters
    kind, t_max, forget_bias = initialisation
    settings = {"initialisation": None if kind == "orthogonal" else kind, "t_max": t_max, "forget_bias": forget_bias}
    arguments: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    if "initialisation" in arguments and "initialisation" in parameters and "t_max" not in parameters:
        arguments.pop("t_max", None)  # the cell raises an error: it has no chrono initialisation
    for key in arguments:
        if key not in parameters:
            raise SettingsError(f"{key}: expected a cell that has it ({_cells_with(key)}), got {name}; omit {key}")
    if kind == "identity" and "nonlinearity" in parameters:
        arguments["nonlinearity"] = "relu"  # Le et al. 2015
    return arguments | ({"dropout": dropout} if "dropout" in parameters else {})


def _cells_with(parameter: str) -> str:
    """The names of the cells whose constructor has a parameter."""
    cells = registered_classes()
    names = [name for name in cell_names() if parameter in inspect.signature(cells[name]).parameters]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _make_cell(cell_class: Any, width: int, hidden_size: int, arguments: dict[str, Any]) -> Any:
    try:
        return cell_class(width, hidden_size, **arguments)
    except ValueError as error:
        if {"initialisation", "t_max", "forget_bias"} & set(arguments):
            raise SettingsError(str(error)) from None
        raise


def _with_residual(noise: list[Layer], layer: Layer) -> Layer:
    """A residual connection around noise and layer."""
    if isinstance(layer, TransformerBlock):
        raise SettingsError(
            f"residual: expected elman, lstm or gru, got {layer.registered_name}, which has residual connections; "
            "omit residual"
        )
    return Residual(Stack([*noise, layer]) if noise else layer)


def _with_noise(cell: Any, zoneout: float, weight_drop: float) -> Any:
    """The cell with zoneout on its state, and weight drop, drawn once per scan, on its recurrent weights."""
    try:
        cell = Zoneout(cell, zoneout) if zoneout else cell
        return WeightDrop(cell, weight_drop) if weight_drop else cell
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{error}; omit --zoneout or --weight-drop, or take another cell, such as lstm") from None


def listed_cells(cell: str) -> list[str]:
    """The names in the setting `cell`, separated by commas."""
    return [name.strip() for name in cell.split(",")]


def _cell_per_layer(cell: str, layers: int) -> list[str]:
    """The name of each layer's cell."""
    if layers < 1:
        raise SettingsError(f"layers: expected at least 1, got {layers}")
    names = listed_cells(cell)
    for name in names:
        if name not in cell_names():
            raise SettingsError(f"unknown cell {name!r}.{nearest(name, cell_names())}")
    if len(names) > 1 and layers not in (1, len(names)):
        raise SettingsError(
            f"layers: expected {len(names)}, the number of cells in {cell!r}, got {layers}; omit layers, or name one "
            "cell"
        )
    return names * layers if len(names) == 1 else names
