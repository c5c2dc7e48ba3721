"""Whether gradients shrink or grow from step to step: the largest Lyapunov exponent, and the Elman network's bound."""

from __future__ import annotations

import torch
from torch import Tensor

from stepscan.cells.elman import Elman
from stepscan.contract import Recurrence
from stepscan.dynamics.rollout import Rollout, rollout
from stepscan.sequences import Sequences
from stepscan.state import named_leaves


def lyapunov_exponent(layer: Recurrence, inputs: Sequences, *, seed: int = 0) -> float:
    """The largest Lyapunov exponent of a recurrence driven by these inputs, in nats per step.

    Below 0 nearby states converge and gradients vanish; above 0 they diverge and gradients explode. One tangent vector
    per row is multiplied by the Jacobian of each step and rescaled to norm 1 (Benettin et al. 1980; Engelken et al.
    2023, Lyapunov spectra of chaotic recurrent neural networks). Here the Jacobians are transposed, from the last step
    to the first: a product and its transpose have the same singular values. The first tenth of the steps taken, in
    which the vector aligns with the fastest direction, does not count; a mean over n steps has an error of about 1/n.

    Args:
        layer: any Recurrence whose state has a fixed size.
        inputs: `[B, T, I]`.
        seed: seed of the initial tangent vectors.

    Returns:
        The mean over all rows and steps; −inf if no gradient passes at all (in a relu network, every path from a row's
        end to its start goes through a unit that was off).

    Raises:
        TypeError: `layer` has no step.
        ValueError: all rows are empty, no state is carried from step to step, or the state has a growing cache.
    """
    rolled = rollout(layer, inputs)
    lengths, fields = rolled.inputs.lengths, rolled.fields
    _check_fixed_size(rolled)
    random = torch.Generator().manual_seed(seed)
    initial = {name: leaf for name, leaf in named_leaves(rolled.states[0]) if name in fields}
    tangent = {name: torch.randn(leaf.shape, generator=random, dtype=leaf.dtype) for name, leaf in initial.items()}
    vector = _normalised({name: leaf.to(rolled.inputs.data) for name, leaf in tangent.items()})[0]
    total, count = 0.0, 0
    no_gradient = rolled.inputs.data.new_zeros(1, len(lengths), rolled.layer.output_size)
    for t in range(rolled.inputs.steps - 1, -1, -1):
        gradients = rolled.vjp(t, no_gradient, {name: leaf[None] for name, leaf in vector.items()}).before
        product = {n: gradients[n][0] if n in gradients else torch.zeros_like(leaf) for n, leaf in vector.items()}
        new, growth = _normalised(product)
        runs = t < lengths
        vector = {name: torch.where(runs.view(-1, *[1] * (p.dim() - 1)), new[name], p) for name, p in vector.items()}
        counts = t < lengths - lengths // 10
        total, count = total + float(growth[counts].log().sum()), count + int(counts.sum())
    return total / count


def elman_bound(layer: Elman, inputs: Sequences) -> float:
    """σ_max(W_hh) · max|φ′|: the largest factor by which a step can multiply a gradient (Pascanu et al. 2013, §2.1).

    σ_max is the largest singular value; max|φ′| is the largest derivative of tanh or relu that occurs on these inputs,
    over all units and steps. Relative to lag 0, the gradient at lag k is at most bound^k.

    Args:
        layer: an Elman network.
        inputs: `[B, T, I]`.

    Raises:
        TypeError: `layer` is not an Elman network.
        ValueError: all rows are empty.
    """
    if not isinstance(layer, Elman):
        raise TypeError(f"expected an Elman network, which the bound is for, got {type(layer).__name__}")
    rolled = rollout(layer, inputs)
    mask = rolled.inputs.mask
    h = torch.stack([state.h for state in rolled.states[1:]], dim=1)[mask]
    slopes = 1 - h**2 if layer.nonlinearity == "tanh" else (h > 0).to(h)
    return float(torch.linalg.matrix_norm(rolled.layer.weight_hh, 2) * slopes.max())


def _check_fixed_size(rolled: Rollout) -> None:
    what = rolled.layer.signature
    if not rolled.fields:
        raise ValueError(f"{what} carries nothing from step to step, so it has no Lyapunov exponent")
    shapes = [{n: leaf.shape for n, leaf in named_leaves(state)} for state in (rolled.states[0], rolled.states[-1])]
    grown = [name for name in rolled.fields if shapes[0][name] != shapes[1][name]]
    if grown:
        raise ValueError(
            f"a Lyapunov exponent needs a state of fixed size, but {what} has a growing cache: {', '.join(grown)}"
        )


def _normalised(vector: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """The vectors, one per row over all fields, rescaled to norm 1 where they are not 0; and their norms `[B]`."""
    norm = torch.stack([leaf.flatten(1).square().sum(dim=1) for leaf in vector.values()]).sum(dim=0).sqrt()
    divisor = torch.where(norm > 0, norm, 1)
    return {name: leaf / divisor.view(-1, *[1] * (leaf.dim() - 1)) for name, leaf in vector.items()}, norm
