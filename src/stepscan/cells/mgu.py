"""The minimal gated unit (Zhou et al. 2016, Minimal Gated Unit for Recurrent Neural Networks): a GRU with one gate.

f_t = σ(W_if x_t + W_hf h_{t-1} + b_f)                  forget gate
n_t = tanh(W_in x_t + W_hn (f_t ⊙ h_{t-1}) + b_n)       candidate
h_t = (1 − f_t) ⊙ h_{t-1} + f_t ⊙ n_t        y_t = h_t
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.hidden_state import HiddenState
from stepscan.cells.initialisation import initialise_gates
from stepscan.contract import Recurrence
from stepscan.definitions.definition import Part, Weight
from stepscan.definitions.kinds import Size
from stepscan.registry import register


@register("mgu")
@dataclass(eq=False)
class MGU(Recurrence):
    """Minimal gated unit.

    Weights, in the order f, n: `weight_ih [2H, I]` (Glorot-uniform), `weight_hh [2H, H]` (orthogonal blocks), `bias
    [2H]` (zeros).

    Args:
        input_size: I.
        hidden_size: H.
    """

    input_size: Size
    hidden_size: Size

    def derive(self) -> None:
        self.output_size = self.hidden_size

    def parts(self) -> dict[str, Part | None]:
        rows = 2 * self.hidden_size
        return {
            "weight_ih": Weight((rows, self.input_size)),
            "weight_hh": Weight((rows, self.hidden_size)),
            "bias": Weight((rows,)),
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        initialise_gates(2, self.weight_ih, self.weight_hh)
        nn.init.zeros_(self.bias)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> HiddenState:
        return HiddenState(self.zeros(batch_size, self.hidden_size, device, dtype))

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        x_f, x_n = F.linear(x, self.weight_ih, self.bias).chunk(2, dim=1)
        weight_hf, weight_hn = self.weight_hh.chunk(2)
        f = torch.sigmoid(x_f + F.linear(h, weight_hf))
        n = torch.tanh(x_n + F.linear(f * h, weight_hn))
        h = (1 - f) * h + f * n
        return h, HiddenState(h)
