"""How far a recurrence remembers, in one number: the memory horizon, the largest Lyapunov exponent, Elman's bound."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stepscan.cells.elman import Elman
from stepscan.contract import Recurrence
from stepscan.inspection.trajectory import Trajectory, follow
from stepscan.sequences import Sequences
from stepscan.state import named_leaves


class Horizon(NamedTuple):
    """The lag, in steps, at which a gradient first falls to a share of what it was; inf if never within the lags."""

    one_over_e: float
    one_percent: float


def horizon(lags: np.ndarray, median: np.ndarray) -> Horizon:
    """The memory horizon of a curve, between the lags by a straight line on a logarithmic scale.

    Args:
        lags: `[K]`, in rising order.
        median: `[K]`, relative to lag 0; NaN is left out.

    Raises:
        ValueError: the two differ in length.
    """
    lags, median = np.asarray(lags, dtype=float), np.asarray(median, dtype=float)
    if lags.ndim != 1 or lags.shape != median.shape:
        raise ValueError(f"horizon takes lags [K] and median [K], got {list(lags.shape)} and {list(median.shape)}")
    known = ~np.isnan(median)
    return Horizon(*(_falls_to(share, lags[known], median[known]) for share in (1 / math.e, 0.01)))


def lyapunov(layer: Recurrence, inputs: Sequences, *, seed: int = 0) -> float:
    """The largest Lyapunov exponent of the recurrence driven by these inputs, in nats a step.

    Below 0 two nearby states grow alike and gradients vanish, above 0 they part and gradients explode. One tangent
    vector a row is multiplied by the steps' Jacobians and set back to length 1 (Benettin et al. 1980; Engelken et al.
    2023, Lyapunov spectra of chaotic recurrent neural networks); here by the transposed ones, from the last step to the
    first: a product and its transpose have the same singular values. The first tenth, in which the vector turns to the
    fastest direction, does not count; a mean over n steps is off by about 1/n.

    Args:
        layer: any Recurrence whose state keeps its size.
        inputs: `[B, T, I]`.
        seed: of the first vector.

    Returns:
        The mean over all rows and steps; −inf if a row's end does not depend on its beginning at all: of a relu
        network, every unit was off at least once on every way between them.

    Raises:
        TypeError: `layer` has no step.
        ValueError: there is no item, no state that is carried from step to step, or a cache, which grows.
    """
    followed = follow(layer, inputs)
    lengths, fields = followed.inputs.lengths, followed.fields
    _check_fixed(followed)
    random = torch.Generator().manual_seed(seed)
    start = {name: leaf for name, leaf in named_leaves(followed.states[0]) if name in fields}
    tangent = {name: torch.randn(leaf.shape, generator=random, dtype=leaf.dtype) for name, leaf in start.items()}
    vector = _scaled({name: part.to(followed.inputs.data) for name, part in tangent.items()})[0]
    total, count = 0.0, 0
    silent = followed.inputs.data.new_zeros(1, len(lengths), followed.layer.output_size)
    for t in range(followed.inputs.steps - 1, -1, -1):
        pulled = followed.pull(t, silent, {name: part[None] for name, part in vector.items()}).before
        moved = {name: pulled[name][0] if name in pulled else torch.zeros_like(part) for name, part in vector.items()}
        new, growth = _scaled(moved)
        runs = t < lengths
        vector = {name: torch.where(runs.view(-1, *[1] * (p.dim() - 1)), new[name], p) for name, p in vector.items()}
        counts = t < lengths - lengths // 10
        total, count = total + float(growth[counts].log().sum()), count + int(counts.sum())
    return total / count


def elman_bound(layer: Elman, inputs: Sequences) -> float:
    """σ_max(W_hh) · max|φ′|: a gradient grows by no more than this factor a step (Pascanu et al. 2013, §2.1).

    σ_max is the largest singular value; max|φ′| the largest derivative of tanh or relu that these inputs bring about,
    over all units and steps, so that the bound is as tight as such a bound can be on these data: relative to lag 0 the
    gradient at lag k is at most bound^k.

    Args:
        layer: an Elman network.
        inputs: `[B, T, I]`.

    Raises:
        TypeError: `layer` is no Elman network.
        ValueError: there is no item.
    """
    if not isinstance(layer, Elman):
        raise TypeError(f"the bound holds for an Elman network alone, got {type(layer).__name__}")
    followed = follow(layer, inputs)
    mask = followed.inputs.mask
    h = torch.stack([state.h for state in followed.states[1:]], dim=1)[mask]
    slopes = 1 - h**2 if layer.nonlinearity == "tanh" else (h > 0).to(h)
    return float(torch.linalg.matrix_norm(followed.layer.weight_hh, 2) * slopes.max())


def _falls_to(share: float, lags: np.ndarray, values: np.ndarray) -> float:
    below = np.flatnonzero(values <= share)
    if not len(below):
        return math.inf
    place = int(below[0])
    if place == 0:
        return float(lags[0])
    (before, after), (high, low) = lags[place - 1 : place + 1], values[place - 1 : place + 1]
    if low == 0:  # no logarithm: a straight line
        return float(before + (high - share) / (high - low) * (after - before))
    return float(before + math.log(high / share) / math.log(high / low) * (after - before))


def _check_fixed(followed: Trajectory) -> None:
    what = followed.layer.described
    if not followed.fields:
        raise ValueError(f"{what} carries nothing from step to step; it has no Lyapunov exponent")
    shapes = [{n: leaf.shape for n, leaf in named_leaves(state)} for state in (followed.states[0], followed.states[-1])]
    grown = [name for name in followed.fields if shapes[0][name] != shapes[1][name]]
    if grown:
        raise ValueError(
            f"a Lyapunov exponent is of a state that keeps its size, but {what} has a growing cache: {', '.join(grown)}"
        )


def _scaled(vector: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """The vectors, one a row over all fields, set to length 1 where they are not 0; and their lengths `[B]`."""
    length = torch.stack([part.flatten(1).square().sum(dim=1) for part in vector.values()]).sum(dim=0).sqrt()
    safe = torch.where(length > 0, length, 1)
    return {name: part / safe.view(-1, *[1] * (part.dim() - 1)) for name, part in vector.items()}, length
