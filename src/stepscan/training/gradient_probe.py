"""One probe of a model in training: how the gradient of the last output decays with the lag, and how open gates are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from stepscan.cells.transformer import TransformerBlock
from stepscan.contract import Layer, Recurrence
from stepscan.data.batching import TrainingBatch
from stepscan.dynamics.gates import gate_statistics
from stepscan.dynamics.memory_horizon import memory_horizon
from stepscan.dynamics.recurrences import recurrences
from stepscan.dynamics.rollout import random_direction, rollout
from stepscan.sequences import Sequences
from stepscan.state import State, select

ROWS, STEPS = 4, 256  # of a batch, at most, which bounds the cost of a probe
_LAYERS = ("encoder", "layer", "generator.layer")  # the names of layers in patterns


class CapturedInput(NamedTuple):
    """A layer of a pattern and what it was called with."""

    layer: Layer
    inputs: Sequences  # [n, T, I], n ≤ 4 rows of equal length T ≤ 256
    state: State | None  # the initial state; None for the layer's default
    longest: int  # length of the longest sequence in the batch, before truncation to T


def probe(model: Any, batch: TrainingBatch, state: State | None) -> dict[str, float]:
    """Measure gradients and gates of a pattern on a batch, in evaluation mode.

    Args:
        model: a pattern.
        batch: what its `loss` takes; at most 4 rows and 256 steps of it are used.
        state: the initial state of that loss.

    Returns:
        Nothing for a model without recurrences; otherwise

        * `gradient_horizon`, `gradient_horizon_e`: lags, in steps, at which the gradient of the last output falls to
          1 % and to 1/e of its value at lag 0: of the state field where it reaches furthest, in the recurrence where it
          reaches least.
        * `gradient_steps`: lags measured; a horizon equal to it was not reached.
        * `gradient_growth`: the largest gradient, relative to lag 0.
        * `sequence_steps`: length of the longest sequence in the batch.
        * `gate_forget` …: mean of a gate over units and items; `gate_forget_saturated` …: its fraction in the lowest or
          highest tenth of the range.
        * `gate_memory`: time constant −1/ln f of the median unit, in steps.
    """
    rows: list[dict[str, float]] = []
    gates: dict[str, list[float]] = {}
    for captured in capture_inputs(model, batch, state):
        rows += [{**_reach(curves), "sequence_steps": float(captured.longest)} for curves in _curves(captured)]
        for name, value in _gate_means(captured):
            gates.setdefault(name, []).append(value)
    result = dict(min(rows, key=lambda row: row["gradient_horizon"] / row["gradient_steps"])) if rows else {}
    if rows:
        result["gradient_growth"] = max(row["gradient_growth"] for row in rows)
    return result | {name: sum(values) / len(values) for name, values in gates.items()}


def capture_inputs(model: Any, batch: TrainingBatch, state: State | None) -> list[CapturedInput]:
    """What the layers of a pattern are called with on the longest rows of a batch.

    Args:
        model: a pattern; its `loss` runs once, in evaluation mode.
        batch: what that `loss` takes.
        state: the initial state of that loss.
    """
    captured: list[CapturedInput] = []

    def capture(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        inputs, initial = (*arguments, None)[:2]
        if int(inputs.lengths.max() if len(inputs) else 0):
            captured.append(_truncated(layer, inputs, initial))

    layers = [module for name, module in model.named_modules() if name in _LAYERS and isinstance(module, Layer)]
    hooks = [layer.register_forward_pre_hook(capture) for layer in layers]
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval().loss(batch.inputs, batch.targets, state)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return captured


def _truncated(layer: Any, inputs: Sequences, state: State | None) -> CapturedInput:
    longest = int(inputs.lengths.max())
    order = inputs.lengths.argsort(descending=True, stable=True)[:ROWS]
    rows = order[inputs.lengths[order] > 0.9 * longest]  # rows of similar length
    steps = min(int(inputs.lengths[rows].min()), STEPS)
    kept = Sequences(inputs.data[rows, :steps].detach(), [steps] * len(rows))
    return CapturedInput(layer, kept, None if state is None else select(state, rows), longest)


def _curves(captured: CapturedInput) -> Iterator[dict[str, np.ndarray]]:
    """`last_output_gradients` of each recurrence that keeps its past in a hidden state."""
    for call in recurrences(captured.layer, captured.inputs, captured.state):
        has_cache = any(isinstance(module, TransformerBlock) for module in call.layer.modules())
        if not has_cache:
            initial = captured.state if call.layer is captured.layer else None
            curves = last_output_gradients(call.layer, call.inputs, initial)
            if curves:
                yield curves


def last_output_gradients(layer: Recurrence, inputs: Sequences, state: State | None = None) -> dict[str, np.ndarray]:
    """‖∂L_T/∂s_{T−k}‖ relative to lag 0, for the last output only.

    The work is O(T); for all outputs, as in `stepscan.inspection.gradient_flow`, it is O(T²).

    Args:
        layer: any Recurrence.
        inputs: `[B, T, I]`, all rows of length T.
        state: the initial state; None for the layer's default.

    Returns:
        For each field of the state, `[T]` by lag k: the median over rows; NaN where no gradient passes at all.
    """
    rolled = rollout(layer, inputs, state)
    steps, rows = rolled.inputs.steps, len(rolled.inputs)
    norms = {name: np.zeros((steps, rows)) for name in rolled.fields}
    output_gradient = random_direction(rolled.layer.output_size, rolled.inputs.data).expand(1, rows, -1)
    state_gradient: dict[str, torch.Tensor] = {}
    for lag in range(steps):
        gradients = rolled.vjp(steps - 1 - lag, output_gradient, state_gradient)
        for name, gradient in gradients.after.items():
            norms[name][lag] = gradient[0].flatten(1).norm(dim=1).cpu().numpy()
        output_gradient, state_gradient = torch.zeros_like(output_gradient), gradients.before
    return {name: _relative(values) for name, values in norms.items()}


def _relative(norms: np.ndarray) -> np.ndarray:
    """Norms `[T, B]` relative to lag 0, or to lag 1 if all are 0 at lag 0; the median over rows, `[T]`."""
    reference = norms[0] if norms[0].any() or len(norms) == 1 else norms[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(reference > 0, norms / reference, np.nan)
    known = relative[:, ~np.isnan(relative).all(axis=0)]
    return np.median(known, axis=1) if known.shape[1] else np.full(len(norms), np.nan)


def _reach(curves: dict[str, np.ndarray]) -> dict[str, float]:
    """The horizons of a recurrence, in steps: of the field where the gradient reaches furthest."""
    known = {name: curve for name, curve in curves.items() if not np.isnan(curve).all()}
    steps = float(len(next(iter(curves.values()))))
    horizons = [memory_horizon(np.arange(len(curve)), curve) for curve in known.values()]
    return {
        "gradient_horizon": min(max((horizon.one_percent for horizon in horizons), default=0.0), steps),
        "gradient_horizon_e": min(max((horizon.one_over_e for horizon in horizons), default=0.0), steps),
        "gradient_steps": steps,
        "gradient_growth": max((float(np.nanmax(curve)) for curve in known.values()), default=0.0),
    }


def _gate_means(captured: CapturedInput) -> Iterator[tuple[str, float]]:
    for cell in gate_statistics(captured.layer, captured.inputs).values():
        for name, gate in cell.gates.items():
            if name not in ("candidate", "activation"):
                yield f"gate_{name}", gate.mean
            if name != "candidate":
                yield f"gate_{name}_saturated", gate.saturated_low + gate.saturated_high
        memory = float(np.median(cell.time_constants)) if len(cell.time_constants) else math.nan
        if math.isfinite(memory):
            yield "gate_memory", memory
