"""Gradient flow: how much of an output's gradient arrives in the states of earlier steps.

Bengio et al. 1994; Pascanu et al. 2013 (On the difficulty of training recurrent neural networks), eqs 3 to 5.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stepscan.contract import Recurrence
from stepscan.errors import nearest
from stepscan.inspection.horizon import Horizon, horizon
from stepscan.inspection.trajectory import Trajectory, follow, unit_direction
from stepscan.sequences import Sequences
from stepscan.state import State, leaves

_NUMBERS_AT_ONCE = 2**24  # of state, that one step of the sweep may hold: 128 MiB in float64


class FieldFlow(NamedTuple):
    """Of one field of the state: gradient norms relative to lag 0, K = T lags."""

    lags: np.ndarray  # [K], 0 … T − 1
    median: np.ndarray  # [K], over batch and time
    low: np.ndarray  # [K], the quantile 0.1
    high: np.ndarray  # [K], the quantile 0.9
    map: np.ndarray  # [T, T], output's time t × state's time s, mean over the batch; NaN above the diagonal


class GradientFlow(NamedTuple):
    """By the names of the state's fields: `h`, `c`, in a stack `0.h`, …"""

    fields: dict[str, FieldFlow]

    @property
    def horizons(self) -> dict[str, Horizon]:
        """The memory horizon of each field, from its median."""
        return {name: horizon(field.lags, field.median) for name, field in self.fields.items()}


def flow(layer: Recurrence, inputs: Sequences, *, state: State | None = None, field: str = "") -> GradientFlow:
    """‖∂L_t/∂s_{t−k}‖ for every output time t and lag k, relative to lag 0, in each field s of the state.

    L_t = g · y_t with one random direction g of length 1, the same for all t and every call. Exact: one sweep of
    vector-Jacobian products from the last step to the first carries the gradients of all L_t at once, in float64,
    outside training. As in back-propagation through time, a field's gradient holds what it does in its own step (an
    LSTM's c acts through h), and other fields stand still.

    A field that the output of its own step does not depend on (a cache, an output that is fed back) has no gradient at
    lag 0: lag 1 stands in for it. Where there is none either the figures are NaN. Gradients below about 1e-308 are 0.
    Work and memory grow with T².

    Args:
        layer: any Recurrence, the user's own included; it is copied, not changed.
        inputs: `[B, T, I]`, ragged or not: outputs past a row's length do not count.
        state: where to start; None is the initial state.
        field: a field, or the beginning of several (`0` for `0.h` and `0.c`); empty is all.

    Raises:
        TypeError: `layer` has no step.
        ValueError: there is no item, no state that is carried from step to step, or no such field.
    """
    followed = follow(layer, inputs, state)
    names = _chosen(followed, field)
    return GradientFlow({name: _summarised(norms) for name, norms in _norms(followed, names).items()})


def _chosen(followed: Trajectory, field: str) -> list[str]:
    what, fields = followed.layer.described, followed.fields
    if not fields:
        raise ValueError(f"{what} carries nothing from step to step, so that no gradient flows back in time")
    names = [name for name in fields if not field or name == field or name.startswith(f"{field}.")]
    if not names:
        raise ValueError(f"{what} carries the fields {', '.join(fields)}, not {field!r}.{nearest(field, fields)}")
    return names


def _norms(followed: Trajectory, names: list[str]) -> dict[str, np.ndarray]:
    """‖∂L_t/∂s_s‖ as `[T, T, B]`, NaN where s > t and where t is past the row's length."""
    steps, rows = followed.inputs.steps, len(followed.inputs)
    norms = {name: torch.full((steps, steps, rows), torch.nan, dtype=torch.float64) for name in names}
    numbers = max(1, sum(leaf.numel() for leaf in leaves(followed.states[-1])))
    together = max(1, _NUMBERS_AT_ONCE // numbers)
    for first in range(0, steps, together):
        _sweep(followed, first, min(first + together, steps), norms)
    ended = (~followed.inputs.mask).T.cpu()  # [T, B]
    return {name: of_all.masked_fill(ended[:, None], torch.nan).numpy() for name, of_all in norms.items()}


def _sweep(followed: Trajectory, first: int, end: int, norms: dict[str, Tensor]) -> None:
    """Write the norms of the outputs at `first … end − 1`, from step `end − 1` down to 0."""
    like = followed.inputs.data
    direction = unit_direction(followed.layer.output_size, like)
    carried: dict[str, Tensor] = {}
    for s in range(end - 1, -1, -1):
        earliest = max(s, first)
        of_output = like.new_zeros(end - earliest, len(like), len(direction))
        if s >= first:  # L_s begins here, above those that came from later steps
            of_output[0] = direction
            carried = {name: torch.cat([torch.zeros_like(part[:1]), part]) for name, part in carried.items()}
        pulled = followed.pull(s, of_output, carried)
        for name, of_all in norms.items():
            found = pulled.after.get(name)
            of_all[earliest:end, s] = 0 if found is None else found.flatten(2).norm(dim=2).cpu()
        carried = pulled.before


def _summarised(norms: np.ndarray) -> FieldFlow:
    """Of norms `[T, T, B]`."""
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
