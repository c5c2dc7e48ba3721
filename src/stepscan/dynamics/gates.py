"""Gates and units of the classic cells on data: how open gates are, how long units remember, which units are dead.

After Karpathy et al. 2015 (Visualizing and understanding recurrent networks), §4.2; the time constant −1/ln f after
Tallec & Ollivier 2018 (Can recurrent neural networks warp time?), §2.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stepscan import kernels
from stepscan.cells.cell import Cell
from stepscan.contract import Layer
from stepscan.dynamics.recurrences import field_path
from stepscan.sequences import Sequences
from stepscan.state import State, map_state

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
        layer: any Layer; a copy of it runs once, by the cells' equations, in double precision and in evaluation mode.
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
    copied = copy.deepcopy(layer).eval().double()  # so that the logarithm of a gate near 1 is not 0
    recorded: dict[str, tuple[Cell, list[dict[str, Tensor]]]] = {}
    for name, cell in copied.named_modules():
        if isinstance(cell, Cell):
            recorded[field_path(name) or cell.registered_name] = cell, _record(cell)
    with kernels.use("reference"), torch.no_grad():
        copied(inputs.replace(inputs.data.double()), state if state is None else map_state(_double, state))
    mask = inputs.mask[:, : int(inputs.lengths.max())].cpu().numpy()
    return {name: _cell_statistics(cell, steps, mask) for name, (cell, steps) in recorded.items() if steps}


def _double(leaf: Tensor) -> Tensor:
    return leaf.double() if leaf.is_floating_point() else leaf


def _record(cell: Any) -> list[dict[str, Tensor]]:
    """A list to which every step of the cell appends its gates, and its `h`."""
    steps: list[dict[str, Tensor]] = []
    equations = cell.equations

    def recording(x: Tensor, state: Any) -> tuple[Tensor, State]:
        y, new = equations(x, state)
        steps.append({**cell.named_gates(x, state), "h": new.h})
        return y, new

    cell.equations = recording
    return steps


def _cell_statistics(cell: Any, steps: list[dict[str, Tensor]], mask: np.ndarray) -> CellStatistics:
    """The statistics of one cell: its recorded steps, each value `[B, H]`, and which items count, `[B, T]`."""
    stacked = {name: torch.stack([step[name] for step in steps], dim=1).cpu().numpy() for name in steps[0]}
    items = {name: values[:, : mask.shape[1]][mask] for name, values in stacked.items()}
    h = items.pop("h")
    dead = np.flatnonzero(h.max(axis=0) - h.min(axis=0) < _DEAD_RANGE)
    time_constants = np.zeros(0)
    if cell.retaining_gate:
        with np.errstate(divide="ignore"):
            time_constants = 1 / np.abs(np.log(items[cell.retaining_gate]).mean(axis=0))  # ln f ≤ 0
    is_relu = getattr(cell, "nonlinearity", "") == "relu"
    gates = {name: _statistics("relu" if is_relu else name, values) for name, values in items.items()}
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
