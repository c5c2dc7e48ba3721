"""Gates and units of the classic cells on data: how open they stand, how long they hold, which units are dead.

After Karpathy et al. 2015 (Visualizing and understanding recurrent networks), §4.2; −1/ln f after Tallec & Ollivier
2018 (Can recurrent neural networks warp time?), §2.
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
from stepscan.inspection.parts import place
from stepscan.sequences import Sequences
from stepscan.state import State

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS = 20
_STILL = 1e-3  # a unit whose h moves over less than this is dead


class GateFigures(NamedTuple):
    """Of one gate (0 … 1) or candidate (−1 … 1), over all items and units."""

    mean: float
    quantiles: np.ndarray  # [5], those of `QUANTILES`
    saturated_low: float  # share in the lowest tenth of the range; of a relu, share that is 0
    saturated_high: float  # share in the highest tenth; of a relu 0
    histogram: np.ndarray  # [20], shares that add up to 1
    edges: np.ndarray  # [21], of the histogram's bins
    unit_mean: np.ndarray  # [H]
    unit_low: np.ndarray  # [H], `saturated_low` of each unit
    unit_high: np.ndarray  # [H]


class GateStatistics(NamedTuple):
    """Of one cell."""

    gates: dict[str, GateFigures]
    half_lives: (
        np.ndarray
    )  # [H], −1 / mean ln f: steps in which what a unit holds falls to 1/e; [0] without such a gate
    dead_units: np.ndarray  # their indices: h moved over less than 0.001 in all rows


def gates(layer: Layer, inputs: Sequences, *, state: State | None = None) -> dict[str, GateStatistics]:
    """How the gates of every Elman, LSTM, GRU and LayerNormLSTM in a layer stand on these inputs.

    | cell | gates | what holds |
    |---|---|---|
    | LSTM, LayerNormLSTM | `input`, `forget`, `candidate`, `output` | `forget` |
    | GRU | `reset`, `update`, `candidate` | `update`, z in (1 − z) n + z h |
    | Elman | `activation`: φ itself | none |

    Args:
        layer: any Layer; it runs once, by the cells' equations and outside training. It is copied, not changed.
        inputs: `[B, T, I]`; the padding does not count.
        state: where to start; None is the initial state.

    Returns:
        By the cell's place in the layer (`0`, `0.forward`, …; a cell by itself by its kind, such as `lstm`); empty if
        there is no such cell.

    Raises:
        ValueError: there is no item at all.
    """
    if inputs.is_all_empty:
        raise ValueError(f"gates are looked at over at least one item, but all of {len(inputs)} rows are empty")
    copied = copy.deepcopy(layer).eval()
    heard: dict[str, list[dict[str, Tensor]]] = {}
    for name, part in copied.named_modules():
        if isinstance(part, Cell) and type(part) in _EQUATIONS:
            heard[place(name) or part.registered_name] = _listen(part)
    with kernels.use("reference"), torch.no_grad():
        copied(inputs, state)
    mask = inputs.mask[:, : int(inputs.lengths.max())].cpu().numpy()
    return {name: _statistics(steps, mask) for name, steps in heard.items() if steps}


def _listen(cell: Any) -> list[dict[str, Tensor]]:
    """A list to which every step of the cell adds its gates, its `h` and, as `hold`, the gate that keeps the state."""
    heard: list[dict[str, Tensor]] = []
    equations, reading = cell.equations, _EQUATIONS[type(cell)]

    def listened(x: Tensor, state: Any) -> tuple[Tensor, State]:
        y, new = equations(x, state)
        heard.append({**reading(cell, x, state), "h": new.h})
        return y, new

    cell.equations = listened
    return heard


def _of_lstm(cell: LSTM, x: Tensor, state: Any) -> dict[str, Tensor]:
    total = F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(state.h, cell.weight_hh, cell.bias_hh)
    return _four(total)


def _of_layer_norm_lstm(cell: LayerNormLSTM, x: Tensor, state: Any) -> dict[str, Tensor]:
    wide = [4 * cell.hidden_size]
    of_x = F.layer_norm(F.linear(x, cell.weight_ih), wide, cell.gain_ih)
    return _four(of_x + F.layer_norm(F.linear(state.h, cell.weight_hh), wide, cell.gain_hh) + cell.bias)


def _four(total: Tensor) -> dict[str, Tensor]:
    i, f, g, o = total.chunk(4, dim=1)
    opened = {"input": i.sigmoid(), "forget": f.sigmoid(), "candidate": g.tanh(), "output": o.sigmoid()}
    return {**opened, "log_hold": F.logsigmoid(f)}


def _of_gru(cell: GRU, x: Tensor, state: Any) -> dict[str, Tensor]:
    from_x = F.linear(x, cell.weight_ih, cell.bias_ih).chunk(3, dim=1)
    from_h = F.linear(state.h, cell.weight_hh, cell.bias_hh).chunk(3, dim=1)
    r, z = torch.sigmoid(from_x[0] + from_h[0]), torch.sigmoid(from_x[1] + from_h[1])
    n = torch.tanh(from_x[2] + r * from_h[2])
    return {"reset": r, "update": z, "candidate": n, "log_hold": F.logsigmoid(from_x[1] + from_h[1])}


def _of_elman(cell: Elman, x: Tensor, state: Any) -> dict[str, Tensor]:
    total = F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(state.h, cell.weight_hh, cell.bias_hh)
    return {"activation" if cell.nonlinearity == "tanh" else "relu": getattr(torch, cell.nonlinearity)(total)}


_EQUATIONS: dict[type, Callable[[Any, Tensor, Any], dict[str, Tensor]]] = {
    Elman: _of_elman,
    GRU: _of_gru,
    LayerNormLSTM: _of_layer_norm_lstm,
    LSTM: _of_lstm,
}


def _statistics(steps: list[dict[str, Tensor]], mask: np.ndarray) -> GateStatistics:
    """Of one cell's steps, each `[B, H]`, and which items count `[B, T]`."""
    whole = {name: torch.stack([step[name] for step in steps], dim=1).double().cpu().numpy() for name in steps[0]}
    items = {name: values[:, : mask.shape[1]][mask] for name, values in whole.items()}
    h, log_hold = items.pop("h"), items.pop("log_hold", None)
    dead = np.flatnonzero(h.max(axis=0) - h.min(axis=0) < _STILL)
    half_lives = np.zeros(0)
    if log_hold is not None:
        with np.errstate(divide="ignore"):
            half_lives = 1 / np.abs(log_hold.mean(axis=0))  # ln f ≤ 0
    named = {"activation" if name == "relu" else name: _figures(name, values) for name, values in items.items()}
    return GateStatistics(named, half_lives, dead)


def _figures(name: str, values: np.ndarray) -> GateFigures:
    """Of values `[N, H]`."""
    if name == "relu":
        low, high = values <= 0, np.zeros_like(values, dtype=bool)
        span = (0.0, float(values.max()) or 1.0)
    else:
        span = (-1.0, 1.0) if name in ("candidate", "activation") else (0.0, 1.0)
        tenth = (span[1] - span[0]) / 10
        low, high = values < span[0] + tenth, values > span[1] - tenth
    counts, edges = np.histogram(values, _BINS, span)
    return GateFigures(
        mean=float(values.mean()),
        quantiles=np.quantile(values, QUANTILES),
        saturated_low=float(low.mean()),
        saturated_high=float(high.mean()),
        histogram=counts / values.size,
        edges=edges,
        unit_mean=values.mean(axis=0),
        unit_low=low.mean(axis=0),
        unit_high=high.mean(axis=0),
    )
