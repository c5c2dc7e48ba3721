"""Gradient flow: how much of the gradient of an output reaches the states of earlier steps.

Bengio et al. 1994; Pascanu et al. 2013 (On the difficulty of training recurrent neural networks), eqs 3 to 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stepscan.contract import Recurrence
from stepscan.dynamics.memory_horizon import MemoryHorizon, memory_horizon
from stepscan.dynamics.rollout import Rollout, random_direction, rollout
from stepscan.errors import nearest
from stepscan.sequences import Sequences
from stepscan.state import State, leaves

_MAX_STATE_ELEMENTS = 2**24  # in one step of the sweep: 128 MiB in float64


class FieldFlow(NamedTuple):
    """One field of the state: gradient norms relative to lag 0, at K = T lags."""

    lags: np.ndarray  # [K], 0 … T − 1, in steps
    median: np.ndarray  # [K], over batch and time
    low: np.ndarray  # [K], the 10 % quantile
    high: np.ndarray  # [K], the 90 % quantile
    map: np.ndarray  # [T, T], time of the output × time of the state, mean over the batch; NaN above the diagonal


class GradientFlow(NamedTuple):
    """The gradient flow of a recurrence, by state field: `h`, `c`, in a stack `0.h`, …; one tensor is `h`."""

    fields: dict[str, FieldFlow]

    @property
    def memory_horizons(self) -> dict[str, MemoryHorizon]:
        """The memory horizon of the median of each field."""
        return {name: memory_horizon(field.lags, field.median) for name, field in self.fields.items()}


def gradient_flow(layer: Recurrence, inputs: Sequences, *, state: State | None = None, field: str = "") -> GradientFlow:
    """‖∂L_t/∂s_{t−k}‖ for every output time t and lag k, relative to lag 0, for each field s of the state.

    L_t = g · y_t with one random direction g of norm 1, the same for all t and all calls. The gradients are exact: one
    sweep of vector-Jacobian products from the last step to the first carries the gradients of all L_t at once, in
    float64 and evaluation mode. As in back-propagation through time, the gradient of a field includes its effect within
    its own step (an LSTM's c acts through h); the other fields are held constant.

    For a field that the output of its own step does not depend on (a cache, an output that is fed back) the gradient at
    lag 0 is zero, and the reference is lag 1. Where that is zero too, the result is NaN. Gradients below about 1e-308
    are 0. Time and memory are O(T²).

    Args:
        layer: any Recurrence, user-defined ones included; a copy of it runs.
        inputs: `[B, T, I]`; outputs past the end of a row do not count.
        state: the initial state; None for `layer.initial_state(B)`.
        field: a field, or a prefix of several (`0` for `0.h` and `0.c`); empty for all.

    Raises:
        TypeError: `layer` has no step.
        ValueError: all rows are empty, no state is carried from step to step, or there is no such field.
    """
    rolled = rollout(layer, inputs, state)
    names = _matching(rolled, field)
    return GradientFlow({name or "h": _summary(norms) for name, norms in _norms(rolled, names).items()})


def _matching(rolled: Rollout, field: str) -> list[str]:
    what, fields = rolled.layer.signature, rolled.fields
    if not fields:
        raise ValueError(f"{what} carries nothing from step to step, so no gradient flows back in time")
    named = {name or "h": name for name in fields}
    names = [name for shown, name in named.items() if not field or shown == field or shown.startswith(f"{field}.")]
    if not names:
        raise ValueError(f"expected a field of {what} ({', '.join(named)}), got {field!r}.{nearest(field, named)}")
    return names


def _norms(rolled: Rollout, names: list[str]) -> dict[str, np.ndarray]:
    """‖∂L_t/∂s_s‖ by field, `[T, T, B]`: NaN where s > t and where t is past the end of the row."""
    steps, rows = rolled.inputs.steps, len(rolled.inputs)
    norms = {name: torch.full((steps, steps, rows), torch.nan, dtype=torch.float64) for name in names}
    elements = max(1, sum(leaf.numel() for leaf in leaves(rolled.states[-1])))
    outputs_at_once = max(1, _MAX_STATE_ELEMENTS // elements)
    for first in range(0, steps, outputs_at_once):
        _sweep(rolled, first, min(first + outputs_at_once, steps), norms)
    is_past_end = (~rolled.inputs.mask).T.cpu()  # [T, B]
    return {name: values.masked_fill(is_past_end[:, None], torch.nan).numpy() for name, values in norms.items()}


def _sweep(rolled: Rollout, first: int, end: int, norms: dict[str, Tensor]) -> None:
    """Write the norms for the outputs `first … end − 1`, from step `end − 1` back to step 0."""
    like = rolled.inputs.data
    direction = random_direction(rolled.layer.output_size, like)
    state_gradient: dict[str, Tensor] = {}
    for s in range(end - 1, -1, -1):
        earliest = max(s, first)
        output_gradient = like.new_zeros(end - earliest, len(like), len(direction))
        if s >= first:  # L_s joins, in front of those of later steps
            output_gradient[0] = direction
            state_gradient = {n: torch.cat([torch.zeros_like(g[:1]), g]) for n, g in state_gradient.items()}
        gradients = rolled.vjp(s, output_gradient, state_gradient)
        for name, values in norms.items():
            gradient = gradients.after.get(name)
            values[earliest:end, s] = 0 if gradient is None else gradient.flatten(2).norm(dim=2).cpu()
        state_gradient = gradients.before


def _summary(norms: np.ndarray) -> FieldFlow:
    """Quantiles and mean of norms `[T, T, B]`, relative to lag 0."""
    steps = len(norms)
    reference = np.stack([norms[t, t] for t in range(steps)])  # [T, B]
    if not np.nan_to_num(reference).any():
        reference = np.stack([norms[t, max(t - 1, 0)] for t in range(steps)])
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(reference[:, None] > 0, norms / reference[:, None], np.nan)
    quantiles = np.full((3, steps), np.nan)
    for lag in range(steps):
        values = np.concatenate([relative[t, t - lag] for t in range(lag, steps)])
        values = values[~np.isnan(values)]
        if len(values):
            quantiles[:, lag] = np.quantile(values, [0.1, 0.5, 0.9])
    known = ~np.isnan(relative)
    total, count = np.where(known, relative, 0).sum(axis=2), known.sum(axis=2)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return FieldFlow(np.arange(steps), quantiles[1], quantiles[0], quantiles[2], mean)
