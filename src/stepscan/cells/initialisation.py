"""First weights of cells; `stepscan.definitions.initialisation` has the settings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stepscan.definitions.initialisation import Initialisation


def forget_biases(scheme: Initialisation, hidden_size: int) -> Tensor:
    """Initial biases of the forget gate, `[H]`: log u of chrono initialisation, `forget_bias` or 1."""
    if scheme.kind == "chrono":
        assert scheme.t_max is not None  # as `Initialisation.check` has ensured
        return torch.empty(hidden_size).uniform_(1, scheme.t_max - 1).log()
    return torch.full((hidden_size,), 1.0 if scheme.forget_bias is None else float(scheme.forget_bias))


@torch.no_grad()
def initialise_gates(gates: int, weight_ih: Tensor, weight_hh: Tensor) -> None:
    """Initialise each of the blocks of weights of x Glorot-uniform, and of weights of h orthogonal (Saxe et al. 2014).

    Args:
        gates: the number of blocks.
        weight_ih: `[gates · H, I]`.
        weight_hh: `[gates · H, H]`.
    """
    for block in weight_ih.chunk(gates):
        nn.init.xavier_uniform_(block)
    for block in weight_hh.chunk(gates):
        nn.init.orthogonal_(block)


def initialise_linear(weight: Tensor, bias: Tensor) -> None:
    """Initialise `weight [H, I]` and `bias [H]` as `nn.Linear` does: U(−1/√I, 1/√I)."""
    bound = weight.shape[1] ** -0.5
    for one in (weight, bias):
        nn.init.uniform_(one, -bound, bound)
