"""Conversion from and to `nn.RNN`, `nn.LSTM` and `nn.GRU`, with all layers and directions."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from stepscan.cells.cell import Cell
from stepscan.cells.elman import Elman
from stepscan.cells.gru import GRU
from stepscan.cells.lstm import LSTM
from stepscan.cells.projected_lstm import ProjectedLSTM
from stepscan.combinators.bidirectional import Bidirectional
from stepscan.combinators.dropout import Dropout
from stepscan.combinators.stack import Stack
from stepscan.contract import Layer

_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def from_torch(module: nn.RNNBase) -> Layer:
    """The same network as a Layer: a cell, a `Bidirectional` of two, or a `Stack` of these with `Dropout` between them.

    Raises:
        TypeError: `module` is not an `nn.RNN`, `nn.LSTM` or `nn.GRU`.
    """
    if not isinstance(module, nn.RNN | nn.LSTM | nn.GRU):
        raise TypeError(f"from_torch: expected an nn.RNN, nn.LSTM or nn.GRU, got {type(module).__name__}")
    layers: list[Layer] = []
    for index in range(module.num_layers):
        if index and module.dropout:
            layers.append(Dropout(layers[-1].output_size, module.dropout))
        size = layers[-1].output_size if layers else module.input_size
        make = _projected_from_torch if module.proj_size else _cell_from_torch
        directions = [make(module, index, size, suffix) for suffix in ("", "_reverse")[: 1 + module.bidirectional]]
        layers.append(Bidirectional(*directions) if module.bidirectional else directions[0])
    return (layers[0] if len(layers) == 1 else Stack(layers)).train(module.training)


def to_torch(layer: Layer) -> nn.RNNBase:
    """The same network as an `nn.RNN`, `nn.LSTM` or `nn.GRU` with `batch_first=True`.

    Raises:
        ValueError: PyTorch's modules cannot represent this layer.
    """
    stacked = list(cast(Any, layer).layers) if isinstance(layer, Stack) else [layer]
    dropouts = [part for part in stacked if isinstance(part, Dropout)]
    levels = [_directions(part) for part in stacked if not isinstance(part, Dropout)]
    first = levels[0][0] if levels else None
    if first is None:
        raise ValueError("to_torch: expected at least one Elman, LSTM or GRU, got only Dropout")
    between = [isinstance(part, Dropout) for part in stacked] == ([False, True] * len(levels))[:-1]
    if dropouts and not (between and len({d.p for d in dropouts}) == 1):
        raise ValueError(
            "to_torch: expected Dropout with one probability between all layers or none, got another pattern"
        )
    shape = (len(levels[0]), first.hidden_size, first.bias_ih is not None)
    for directions in levels:
        for cell in directions:
            if (len(directions), cell.hidden_size, cell.bias_ih is not None) != shape or not _alike(cell, first):
                raise ValueError(
                    f"to_torch: expected layers of one class, size and bias, got {first.signature} and {cell.signature}"
                )
    kind: Any = {LSTM: nn.LSTM, GRU: nn.GRU, Elman: nn.RNN}[type(first)]
    options = {"nonlinearity": first.nonlinearity} if isinstance(first, Elman) else {}
    module = kind(
        layer.input_size,
        first.hidden_size,
        len(levels),
        bias=shape[2],
        batch_first=True,
        dropout=dropouts[0].p if dropouts else 0.0,
        bidirectional=shape[0] == 2,
        **options,
    ).to(first.weight_ih)
    with torch.no_grad():
        for index, directions in enumerate(levels):
            for cell, suffix in zip(directions, ("", "_reverse"), strict=False):
                for name, weight in zip(_WEIGHTS, cell.weights, strict=False):
                    getattr(module, f"{name}_l{index}{suffix}").copy_(weight)
    return module.train(layer.training)


def _alike(cell: Cell, first: Cell) -> bool:
    return type(cell) is type(first) and getattr(cell, "nonlinearity", "") == getattr(first, "nonlinearity", "")


def _directions(part: Layer) -> list[Cell]:
    directions = [part.forward_layer, part.backward_layer] if isinstance(part, Bidirectional) else [part]
    for cell in directions:
        if type(cell) not in (Elman, LSTM, GRU):
            raise ValueError(
                f"to_torch: expected Elman, LSTM, GRU, Bidirectional, Stack or Dropout, got {cell.signature}"
            )
    return cast(list[Cell], directions)


def _cell_from_torch(module: nn.RNNBase, index: int, size: int, suffix: str) -> Cell:
    if isinstance(module, nn.RNN):
        cell: Cell = Elman(size, module.hidden_size, module.nonlinearity, module.bias)
    else:
        cell = (LSTM if isinstance(module, nn.LSTM) else GRU)(size, module.hidden_size, module.bias)
    with torch.no_grad():
        weights = [getattr(module, f"{name}_l{index}{suffix}") for name in _WEIGHTS[: 4 if module.bias else 2]]
        cell.to(weights[0])
        for target, source in zip(cell.weights, weights, strict=True):
            target.copy_(source)
    return cell


@torch.no_grad()
def _projected_from_torch(module: nn.RNNBase, index: int, size: int, suffix: str) -> ProjectedLSTM:
    """Of an `nn.LSTM` with a `proj_size`; its two biases become one, and no biases zeros."""
    cell = ProjectedLSTM(size, module.proj_size, module.hidden_size)
    names = ("weight_ih", "weight_hh", "weight_hr")
    weights = {name: getattr(module, f"{name}_l{index}{suffix}") for name in names}
    cell.to(weights["weight_ih"]).bias.zero_()
    for name, weight in weights.items():
        cell.get_parameter(name).copy_(weight)
    for name in _WEIGHTS[2:] if module.bias else ():
        cell.bias += getattr(module, f"{name}_l{index}{suffix}")
    return cell
