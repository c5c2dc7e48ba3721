"""One look at a model in training: how the gradient of a last output falls with the lag, and how its gates stand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from stepscan.cells.transformer import Block
from stepscan.contract import Layer, Pointwise, Recurrence
from stepscan.data.batching import TrainingBatch
from stepscan.inspection.gates import gates
from stepscan.inspection.horizon import horizon
from stepscan.inspection.parts import parts
from stepscan.inspection.trajectory import follow, unit_direction
from stepscan.sequences import Sequences
from stepscan.state import State, select

ROWS, STEPS = 4, 256  # that a look takes at most, so that its cost has a bound
_LAYERS = ("encoder", "layer", "generator.layer")  # where patterns have theirs


class Heard(NamedTuple):
    """A layer of a pattern and what it read."""

    layer: Layer
    inputs: Sequences  # [n, T, I], n ≤ 4 rows of equal length T ≤ 256
    state: State | None  # where it began
    length: int  # of the longest sequence in the batch, not cut


def glance(model: Any, batch: TrainingBatch, state: State | None) -> dict[str, float]:
    """Figures of one look, outside training; none for a model without recurrences.

    `gradient_horizon`, `gradient_horizon_e`: lags, in steps, at which the gradient of the last output is 1 % and 1/e of
    what it is at lag 0, for the field of the state where that is furthest, and the recurrence where that is nearest;
    `gradient_steps`: lags looked at, which is also what a horizon is that was not reached; `gradient_growth`: the
    largest gradient, relative to lag 0; `sequence_steps`: of the longest sequence in the batch; `gate_forget` …:
    means over units and items, with `_saturated` the share in the lowest or highest tenth; `gate_memory`: the median
    unit's −1/ln f, in steps.
    """
    found: list[dict[str, float]] = []
    of_gates: dict[str, list[float]] = {}
    for heard in hear(model, batch, state):
        found += [{**_reach(curves), "sequence_steps": float(heard.length)} for curves in _curves(heard)]
        for name, value in _gate_figures(heard):
            of_gates.setdefault(name, []).append(value)
    row = dict(min(found, key=lambda one: one["gradient_horizon"] / one["gradient_steps"])) if found else {}
    if found:
        row["gradient_growth"] = max(one["gradient_growth"] for one in found)
    return row | {name: sum(values) / len(values) for name, values in of_gates.items()}


def hear(model: Any, batch: TrainingBatch, state: State | None) -> list[Heard]:
    """What the layers of a pattern read of the longest rows of a batch."""
    found: list[Heard] = []

    def listen(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs, start = (*arguments, None)[:2]
        if int(inputs.lengths.max() if len(inputs) else 0):
            found.append(_cut(layer, inputs, start))

    layers = [part for name, part in model.named_modules() if name in _LAYERS and isinstance(part, Layer)]
    hooks = [layer.register_forward_pre_hook(listen) for layer in layers]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval().loss(batch.inputs, batch.targets, state)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return found


def _cut(layer: Any, inputs: Sequences, state: State | None) -> Heard:
    longest = int(inputs.lengths.max())
    order = inputs.lengths.argsort(descending=True, stable=True)[:ROWS]
    rows = order[inputs.lengths[order] > 0.9 * longest]  # rows of nearly one length
    steps = min(int(inputs.lengths[rows].min()), STEPS)
    kept = Sequences(inputs.data[rows, :steps].detach(), [steps] * len(rows))
    return Heard(layer, kept, None if state is None else select(state, rows), longest)


def _curves(heard: Heard) -> Iterator[dict[str, np.ndarray]]:
    """Of each recurrence that holds its past in hidden state: see `influence`."""
    for part in parts(heard.layer, heard.inputs, heard.state):
        if not isinstance(part.layer, Pointwise) and not any(isinstance(one, Block) for one in part.layer.modules()):
            start = heard.state if part.layer is heard.layer else None
            curves = influence(part.layer, part.inputs, start)
            if curves:
                yield curves


def influence(layer: Recurrence, inputs: Sequences, state: State | None = None) -> dict[str, np.ndarray]:
    """‖∂L_T/∂s_{T−k}‖ relative to lag 0, of the last output alone: work grows with T; that of `flow` does with T².

    Args:
        layer: any Recurrence.
        inputs: `[B, T, I]`, all of length T.
        state: where to start; None is the initial state.

    Returns:
        For each field of the state, `[T]` by lag k: the median over the rows; NaN where no gradient passes at all.
    """
    followed = follow(layer, inputs, state)
    steps, rows = followed.inputs.steps, len(followed.inputs)
    norms = {name: np.zeros((steps, rows)) for name in followed.fields}
    of_output = unit_direction(followed.layer.output_size, followed.inputs.data).expand(1, rows, -1)
    carried: dict[str, torch.Tensor] = {}
    for lag in range(steps):
        pulled = followed.pull(steps - 1 - lag, of_output, carried)
        for name, gradient in pulled.after.items():
            norms[name][lag] = gradient[0].flatten(1).norm(dim=1).cpu().numpy()
        of_output, carried = torch.zeros_like(of_output), pulled.before
    return {name: _relative(of_field) for name, of_field in norms.items()}


def _relative(norms: np.ndarray) -> np.ndarray:
    """Norms `[T, B]` relative to lag 0, or lag 1 where a field has none at lag 0; the median over rows."""
    reference = norms[0] if norms[0].any() or len(norms) == 1 else norms[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(reference > 0, norms / reference, np.nan)
    alive = relative[:, ~np.isnan(relative).all(axis=0)]
    return np.median(alive, axis=1) if alive.shape[1] else np.full(len(norms), np.nan)


def _reach(curves: dict[str, np.ndarray]) -> dict[str, float]:
    """How far the gradient reaches in the field where that is furthest, in steps."""
    alive = {name: curve for name, curve in curves.items() if not np.isnan(curve).all()}
    steps = float(len(next(iter(curves.values()))))
    reached = [horizon(np.arange(len(curve)), curve) for curve in alive.values()]
    return {
        "gradient_horizon": min(max((one.one_percent for one in reached), default=0.0), steps),
        "gradient_horizon_e": min(max((one.one_over_e for one in reached), default=0.0), steps),
        "gradient_steps": steps,
        "gradient_growth": max((float(np.nanmax(curve)) for curve in alive.values()), default=0.0),
    }


def _gate_figures(heard: Heard) -> Iterator[tuple[str, float]]:
    for of_cell in gates(heard.layer, heard.inputs).values():
        for name, gate in of_cell.gates.items():
            if name not in ("candidate", "activation"):
                yield f"gate_{name}", gate.mean
            if name != "candidate":
                yield f"gate_{name}_saturated", gate.saturated_low + gate.saturated_high
        memory = float(np.median(of_cell.half_lives)) if len(of_cell.half_lives) else math.nan
        if math.isfinite(memory):
            yield "gate_memory", memory
