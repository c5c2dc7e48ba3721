"""The simple recurrent unit (Lei et al. 2018, Simple Recurrent Units for Highly Parallelizable Recurrence, eqs 1 to 4).

f_t = σ(W_f x_t + v_f ⊙ c_{t-1} + b_f)                  forget gate
r_t = σ(W_r x_t + v_r ⊙ c_{t-1} + b_r)                  reset gate
c_t = f_t ⊙ c_{t-1} + (1 − f_t) ⊙ (W x_t)
h_t = r_t ⊙ c_t + (1 − r_t) ⊙ α x_t        y_t = h_t    highway connection; α = √3 (§3.2)

Where I ≠ H, a fourth product W_x x_t takes the place of x_t.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.step_cell import StepCell
from stepscan.definitions.definition import Part, Weight
from stepscan.registry import register

_ALPHA = math.sqrt(3)  # √(1 + 2 exp(b_r)) for the first bias 0: x and h of one variance


class SRUState(NamedTuple):
    h: Tensor  # [B, H], the last output, which no step reads
    c: Tensor  # [B, H]


@register("sru")
class SRU(StepCell):
    """Simple recurrent unit: only x is multiplied by matrices; gates see their own unit's cell.

    Weights: `weight_ih [3H, I]` of candidate, f and r, if I ≠ H `[4H, I]` with W_x: U(−√(3/I), √(3/I)), those of gates
    times √½; `weight_ch [2H]`, v_f and v_r: U(−√3, √3) times √½; `bias [2H]` (zeros).

    Args:
        input_size: I.
        hidden_size: H.
    """

    state_class = SRUState

    def parts(self) -> dict[str, Part | None]:
        size = self.hidden_size
        products = 3 if self.input_size == size else 4
        return {
            "weight_ih": Weight((products * size, self.input_size)),
            "weight_ch": Weight((2 * size,)),
            "bias": Weight((2 * size,)),
        }

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        size, bound = self.hidden_size, math.sqrt(3 / self.input_size)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        self.weight_ih[size : 3 * size] *= math.sqrt(0.5)
        nn.init.uniform_(self.weight_ch, -math.sqrt(1.5), math.sqrt(1.5))
        nn.init.zeros_(self.bias)

    @property
    def condition_size(self) -> int:
        return self.hidden_size

    def condition(self, vector: Tensor) -> SRUState:
        """The state with c of `vector [B, H]`; h is not read."""
        self.check_condition(vector)
        return SRUState(torch.zeros_like(vector), vector)

    def step(self, x: Tensor, state: SRUState) -> tuple[Tensor, SRUState]:
        candidate, f, r, *projected = F.linear(x, self.weight_ih).split(self.hidden_size, dim=1)
        (v_f, v_r), (b_f, b_r) = self.weight_ch.chunk(2), self.bias.chunk(2)
        f, r = torch.sigmoid(f + v_f * state.c + b_f), torch.sigmoid(r + v_r * state.c + b_r)
        c = f * state.c + (1 - f) * candidate
        h = r * c + (1 - r) * _ALPHA * (projected[0] if projected else x)
        return h, SRUState(h, c)
