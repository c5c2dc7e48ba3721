"""The real-gated linear recurrent unit (De et al. 2024, Griffin: Mixing Gated Linear Recurrences with Local Attention
for Efficient Language Models, eqs 1 to 4).

u_t = W_in x_t                                          only if I ≠ H
r_t = σ(W_a u_t + b_a)                                  recurrence gate
i_t = σ(W_x u_t + b_x)                                  input gate
log a_t = −8 softplus(Λ) ⊙ r_t                          so that 0 < a_t < 1
h_t = a_t ⊙ h_{t-1} + √(1 − a_t²) ⊙ i_t ⊙ u_t        y_t = h_t

W_a and W_x are block-diagonal. With √(1 − a²), h keeps the variance of i ⊙ u. Its gradient is infinite at a = 1, so
that what is under the root is at least 10⁻¹².
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.step_cell import StepCell
from stepscan.definitions.cell_states import HiddenState
from stepscan.definitions.definition import Part, Weight
from stepscan.definitions.kinds import Count
from stepscan.fields import choose_heads
from stepscan.registry import register

_C = 8.0
_SMALLEST = 1e-12  # of 1 − a²
_LEAST, _GREATEST = 0.9, 0.999  # a of an open gate, before training


@register("rglru")
@dataclass(eq=False)
class RGLRU(StepCell):
    """Real-gated linear recurrent unit: linear in its state; each unit forgets at its own rate, more where it must.

    Weights: `weight_in [H, I]` if I ≠ H (Glorot-uniform); `gate_weights [2, heads, H/heads, H/heads]` of r and i
    (normal, variance heads/H), `gate_bias [2H]` (zeros); `rate [H]`, Λ (a_t of an open gate is U(0.9, 0.999)).

    Args:
        input_size: I.
        hidden_size: H.
        heads: blocks of the gates' matrices, a divisor of H; 0 for the most blocks of size 32 or more.
    """

    heads: Count = 0

    def derive(self) -> None:
        super().derive()
        self.blocks = choose_heads(self.hidden_size, self.heads)

    def parts(self) -> dict[str, Part | None]:
        size = self.hidden_size
        block = size // self.blocks
        return {
            "weight_in": Weight((size, self.input_size)) if self.input_size != size else None,
            "gate_weights": Weight((2, self.blocks, block, block)),
            "gate_bias": Weight((2 * size,)),
            "rate": Weight((size,)),
        }

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        if self.weight_in is not None:
            nn.init.xavier_uniform_(self.weight_in)
        nn.init.normal_(self.gate_weights, std=(self.blocks / self.hidden_size) ** 0.5)
        nn.init.zeros_(self.gate_bias)
        softplus = self.rate.uniform_(_LEAST, _GREATEST).log() / -_C
        self.rate.copy_(torch.expm1(softplus).log())

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        u = x if self.weight_in is None else F.linear(x, self.weight_in)
        blocks = u.view(-1, self.blocks, self.hidden_size // self.blocks)
        r, i = (torch.einsum("bni,noi->bno", blocks, weight).flatten(1) for weight in self.gate_weights)
        b_r, b_i = self.gate_bias.chunk(2)
        log_a = -_C * F.softplus(self.rate) * torch.sigmoid(r + b_r)
        scale = torch.sqrt(torch.clamp(-torch.expm1(2 * log_a), min=_SMALLEST))
        h = torch.exp(log_a) * h + scale * torch.sigmoid(i + b_i) * u
        return h, HiddenState(h)
