"""Gates and units of the classic cells on data: how open gates are, how long units remember, which units are dead.

After Karpathy et al. 2015 (Visualizing and understanding recurrent networks), §4.2; the time constant −1/ln f after
Tallec & Ollivier 2018 (Can recurrent neural networks warp time?), §2.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan import kernels
from stepscan.cells.cell import Cell
from stepscan.cells.elman import Elman
from stepscan.cells.gru import GRU
from stepscan.cells.layer_norm_lstm import LayerNormLSTM
from stepscan.cells.lstm import LSTM
from stepscan.contract import Layer
from stepscan.dynamics.recurrences import field_path
from stepscan.sequences import Sequences
from stepscan.state import State

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS = 20
_DEAD_RANGE = 1e-3  # a unit whose h varies by less than this is dead


class GateStatistics(NamedTuple):
    """One gate (0 … 1), candidate or activation (−1 … 1), over all items and units."""

    mean: float
    quantiles: np.ndarray  # [5], at `QUANTILES`
    saturated_low: float  # fraction of values in the lowest tenth of the range; for relu, fraction that is 0
    saturated_high: float  # fraction in the highest tenth; for relu, 0
    histogram: np.ndarray  # [20], fractions that sum to 1
    bin_edges: np.ndarray  # [21]
    unit_mean: np.ndarray  # [H], the mean of each unit
    unit_saturated_low: np.ndarray  # [H], `saturated_low` of each unit
    unit_saturated_high: np.ndarray  # [H], `saturated_high` of each unit


class CellStatistics(NamedTuple):
    """The gates and units of one cell."""

    gates: dict[str, GateStatistics]
    # [H], −1 / mean ln f, in steps: what a unit stores decays to 1/e in that time; [0] for a cell without such a gate
    time_constants: np.ndarray
    dead_units: np.ndarray  # indices of the units whose h varies by less than 0.001 over all rows


def gate_statistics(layer: Layer, inputs: Sequences, *, state: State | None = None) -> dict[str, CellStatistics]:
    """Statistics of the gates and units of every Elman, LSTM, GRU and LayerNormLSTM in a layer, on these inputs.

    | cell | gates | retains the state |
    |---|---|---|
    | LSTM, LayerNormLSTM | `input`, `forget`, `candidate`, `output` | `forget` |
    | GRU | `reset`, `update`, `candidate` | `update`: z in (1 − z) n + z h |
    | Elman | `activation`: φ itself | none |

    Args:
        layer: any Layer; a copy of it runs once, by the cells' equations and in evaluation mode.
        inputs: `[B, T, I]`; padding does not count.
        state: the initial state; None for the layer's default.

    Returns:
        By the cell's path in the layer (`0`, `0.forward`, …), or by its registered name (`lstm`) if the layer is a
        cell. Empty if there is no such cell.

    Raises:
        ValueError: all rows are empty.
    """
    if inputs.is_all_empty:
        raise ValueError(f"expected at least one item to compute gates for, got {len(inputs)} rows of length 0")
    copied = copy.deepcopy(layer).eval()
    recorded: dict[str, list[dict[str, Tensor]]] = {}
    for name, cell in copied.named_modules():
        if isinstance(cell, Cell) and type(cell) in _GATES:
            recorded[field_path(name) or cell.registered_name] = _record(cell)
    with kernels.use("reference"), torch.no_grad():
        copied(inputs, state)
    mask = inputs.mask[:, : int(inputs.lengths.max())].cpu().numpy()
    return {name: _cell_statistics(steps, mask) for name, steps in recorded.items() if steps}


def _record(cell: Any) -> list[dict[str, Tensor]]:
    """A list to which every step of the cell appends its gates, its `h`, and `log_retention`, the logarithm of the gate
    that retains the state."""
    steps: list[dict[str, Tensor]] = []
    equations, gates = cell.equations, _GATES[type(cell)]

    def recording(x: Tensor, state: Any) -> tuple[Tensor, State]:
        y, new = equations(x, state)
        steps.append({**gates(cell, x, state), "h": new.h})
        return y, new

    cell.equations = recording
    return steps


def _lstm_gates(cell: LSTM, x: Tensor, state: Any) -> dict[str, Tensor]:
    return _activated(F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(state.h, cell.weight_hh, cell.bias_hh))


def _layer_norm_lstm_gates(cell: LayerNormLSTM, x: Tensor, state: Any) -> dict[str, Tensor]:
    shape = [4 * cell.hidden_size]
    x_gates = F.layer_norm(F.linear(x, cell.weight_ih), shape, cell.gain_ih)
    return _activated(x_gates + F.layer_norm(F.linear(state.h, cell.weight_hh), shape, cell.gain_hh) + cell.bias)


def _activated(preactivations: Tensor) -> dict[str, Tensor]:
    """The gates of an LSTM from their preactivations `[B, 4 H]`, in the order i f g o."""
    i, f, g, o = preactivations.chunk(4, dim=1)
    gates = {"input": i.sigmoid(), "forget": f.sigmoid(), "candidate": g.tanh(), "output": o.sigmoid()}
    return {**gates, "log_retention": F.logsigmoid(f)}


def _gru_gates(cell: GRU, x: Tensor, state: Any) -> dict[str, Tensor]:
    x_r, x_z, x_n = F.linear(x, cell.weight_ih, cell.bias_ih).chunk(3, dim=1)
    h_r, h_z, h_n = F.linear(state.h, cell.weight_hh, cell.bias_hh).chunk(3, dim=1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return {"reset": r, "update": z, "candidate": n, "log_retention": F.logsigmoid(x_z + h_z)}


def _elman_gates(cell: Elman, x: Tensor, state: Any) -> dict[str, Tensor]:
    total = F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(state.h, cell.weight_hh, cell.bias_hh)
    return {"activation" if cell.nonlinearity == "tanh" else "relu": getattr(torch, cell.nonlinearity)(total)}


_GATES: dict[type, Callable[[Any, Tensor, Any], dict[str, Tensor]]] = {
    Elman: _elman_gates,
    GRU: _gru_gates,
    LayerNormLSTM: _layer_norm_lstm_gates,
    LSTM: _lstm_gates,
}


def _cell_statistics(steps: list[dict[str, Tensor]], mask: np.ndarray) -> CellStatistics:
    """The statistics of one cell: its recorded steps, each value `[B, H]`, and which items count, `[B, T]`."""
    stacked = {name: torch.stack([step[name] for step in steps], dim=1).double().cpu().numpy() for name in steps[0]}
    items = {name: values[:, : mask.shape[1]][mask] for name, values in stacked.items()}
    h, log_retention = items.pop("h"), items.pop("log_retention", None)
    dead = np.flatnonzero(h.max(axis=0) - h.min(axis=0) < _DEAD_RANGE)
    time_constants = np.zeros(0)
    if log_retention is not None:
        with np.errstate(divide="ignore"):
            time_constants = 1 / np.abs(log_retention.mean(axis=0))  # ln f ≤ 0
    gates = {"activation" if name == "relu" else name: _statistics(name, values) for name, values in items.items()}
    return CellStatistics(gates, time_constants, dead)


def _statistics(name: str, values: np.ndarray) -> GateStatistics:
    """The statistics of one gate's values `[N, H]`."""
    if name == "relu":
        low, high = values <= 0, np.zeros_like(values, dtype=bool)
        span = (0.0, float(values.max()) or 1.0)
    else:
        span = (-1.0, 1.0) if name in ("candidate", "activation") else (0.0, 1.0)
        tenth = (span[1] - span[0]) / 10
        low, high = values < span[0] + tenth, values > span[1] - tenth
    counts, edges = np.histogram(values, _BINS, span)
    return GateStatistics(
        mean=float(values.mean()),
        quantiles=np.quantile(values, QUANTILES),
        saturated_low=float(low.mean()),
        saturated_high=float(high.mean()),
        histogram=counts / values.size,
        bin_edges=edges,
        unit_mean=values.mean(axis=0),
        unit_saturated_low=low.mean(axis=0),
        unit_saturated_high=high.mean(axis=0),
    )
