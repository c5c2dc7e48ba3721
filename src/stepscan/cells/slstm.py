"""The sLSTM (Beck et al. 2024, xLSTM: Extended Long Short-Term Memory, eqs 8 to 17): an LSTM whose input gate is an
exponential, so that it can revise what it stored.

z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)                 candidate
ĩ_t = W_i x_t + R_i h_{t-1} + b_i                       logarithm of the input gate
log f_t = log σ(W_f x_t + R_f h_{t-1} + b_f)            forget gate
o_t = σ(W_o x_t + R_o h_{t-1} + b_o)                    output gate
m_t = max(log f_t + m_{t-1}, ĩ_t)                       stabiliser: c and n are exp(−m) times what they stand for
c_t = exp(log f_t + m_{t-1} − m_t) ⊙ c_{t-1} + exp(ĩ_t − m_t) ⊙ z_t
n_t = exp(log f_t + m_{t-1} − m_t) ⊙ n_{t-1} + exp(ĩ_t − m_t)
h_t = o_t ⊙ c_t / n_t        y_t = h_t                  c / n is a weighted mean of the z so far

R are block-diagonal: units of one head see each other. m_0 = −10⁴ stands for −∞: nothing is stored. A smaller ĩ counts
as that, so that n_t ≥ 1 for t ≥ 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.step_cell import StepCell
from stepscan.definitions.definition import Part, Weight
from stepscan.definitions.kinds import Count
from stepscan.fields import choose_heads
from stepscan.registry import register

_NOTHING = -1e4  # a logarithm of next to nothing, of which finite differences can be taken


class SLSTMState(NamedTuple):
    h: Tensor  # [B, H]
    c: Tensor  # [B, H], cell
    n: Tensor  # [B, H], normaliser
    m: Tensor  # [B, H], stabiliser: the logarithm of the scale of c and n


@register("slstm")
@dataclass(eq=False)
class SLSTM(StepCell):
    """sLSTM with exponential input gates and a stabiliser.

    Weights, in the order z, i, f, o: `weight_ih [4H, I]` (normal, variance 2/(5I)), `weight_hh [4, heads, H/heads,
    H/heads]` (zeros), `bias [4H]` (zeros, of the forget gate from 3 to 6 in even steps within a head), which is one of
    the ways that the authors' code offers.

    Args:
        input_size: I.
        hidden_size: H.
        heads: blocks of the recurrent matrices, a divisor of H; 0 for the most blocks of size 32 or more.
    """

    heads: Count = 0

    caches = True  # n and m are the scale of c, and nothing to mix or to set by themselves

    def derive(self) -> None:
        super().derive()
        self.blocks = choose_heads(self.hidden_size, self.heads)

    def parts(self) -> dict[str, Part | None]:
        block = self.hidden_size // self.blocks
        return {
            "weight_ih": Weight((4 * self.hidden_size, self.input_size)),
            "weight_hh": Weight((4, self.blocks, block, block)),
            "bias": Weight((4 * self.hidden_size,)),
        }

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        nn.init.normal_(self.weight_ih, std=(2 / (5 * self.input_size)) ** 0.5)
        nn.init.zeros_(self.weight_hh)
        nn.init.zeros_(self.bias)
        self.bias.chunk(4)[2].copy_(torch.linspace(3, 6, self.hidden_size // self.blocks).repeat(self.blocks))

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> SLSTMState:
        zeros = self.zeros(batch_size, self.hidden_size, device, dtype)
        return SLSTMState(zeros, zeros.clone(), zeros.clone(), torch.full_like(zeros, _NOTHING))

    @property
    def condition_size(self) -> int:
        return 2 * self.hidden_size

    def condition(self, vector: Tensor) -> SLSTMState:
        """The state with h and c of `vector [B, 2H]`, as if c had been stored by an input gate of 1: n = 1, m = 0."""
        self.check_condition(vector)
        h, c = vector.chunk(2, dim=1)
        return SLSTMState(h, c, torch.ones_like(c), torch.zeros_like(c))

    def step(self, x: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        blocks = state.h.view(-1, self.blocks, self.hidden_size // self.blocks)
        back = [torch.einsum("bni,noi->bno", blocks, weight).flatten(1) for weight in self.weight_hh]
        into = F.linear(x, self.weight_ih, self.bias).chunk(4, dim=1)
        z, i, f, o = (a + b for a, b in zip(into, back, strict=True))
        kept, i = F.logsigmoid(f) + state.m, torch.clamp(i, min=_NOTHING)
        m = torch.maximum(kept, i)
        f, i = torch.exp(kept - m), torch.exp(i - m)
        c, n = f * state.c + i * torch.tanh(z), f * state.n + i
        h = torch.sigmoid(o) * c / n
        return h, SLSTMState(h, c, n, m)
