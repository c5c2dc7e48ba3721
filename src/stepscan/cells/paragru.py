"""ParaGRU (Danieli et al. 2025, ParaRNN: Unlocking Parallel Training of Nonlinear RNNs for Large Language Models, eqs
3.1a and 3.3): a GRU whose recurrent matrices are diagonal.

z_t = σ(W_z x_t + a_z ⊙ h_{t-1} + b_z)                  update gate
r_t = σ(W_r x_t + a_r ⊙ h_{t-1} + b_r)                  reset gate
n_t = tanh(W_n x_t + a_n ⊙ r_t ⊙ h_{t-1} + b_n)         candidate
h_t = (1 − z_t) ⊙ h_{t-1} + z_t ⊙ n_t        y_t = h_t
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.step_cell import DiagonalCell
from stepscan.definitions.cell_states import HiddenState
from stepscan.definitions.definition import Part, Weight
from stepscan.registry import register


@register("paragru")
class ParaGRU(DiagonalCell):
    """GRU without weights between its units: not linear in its state, unlike `MinGRU`.

    Weights, in the order z, r, n: `weight_ih [3H, I]` and `bias [3H]`, both U(−1/√I, 1/√I), as in `nn.Linear`;
    `weight_self [3H]`, the a above (normal, variance 1/H). All are ours, not the paper's.

    Args:
        input_size: I.
        hidden_size: H.
    """

    gates = 3

    def parts(self) -> dict[str, Part | None]:
        size = self.hidden_size
        return super().parts() | {"weight_self": Weight((3 * size,))}

    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        super().reset_parameters()
        nn.init.normal_(self.weight_self, std=self.hidden_size**-0.5)

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        z, r, n = F.linear(x, self.weight_ih, self.bias).chunk(3, dim=1)
        a_z, a_r, a_n = self.weight_self.chunk(3)
        z, r = torch.sigmoid(z + a_z * h), torch.sigmoid(r + a_r * h)
        h = (1 - z) * h + z * torch.tanh(n + a_n * (r * h))
        return h, HiddenState(h)
