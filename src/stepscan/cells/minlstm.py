"""minLSTM (Feng et al. 2024, Were RNNs All We Needed?, §3.2): an LSTM whose gates do not look at the state, and sum to
1.

f_t = σ(W_if x_t + b_f)                                 forget gate
i_t = σ(W_ii x_t + b_i)                                 input gate
n_t = W_in x_t + b_n                                    candidate
h_t = f_t / (f_t + i_t) ⊙ h_{t-1} + i_t / (f_t + i_t) ⊙ n_t        y_t = h_t

The shares of the gates are computed as σ(log f − log i) and σ(log i − log f), which are right next to 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.cells.hidden_state import HiddenState
from stepscan.cells.initialisation import initialise_linear
from stepscan.contract import Recurrence
from stepscan.definitions.definition import Part, Weight
from stepscan.definitions.kinds import Size
from stepscan.registry import register


@register("minlstm")
@dataclass(eq=False)
class MinLSTM(Recurrence):
    """minLSTM: linear in its state, and without weights between its units.

    Weights, in the order f, i, n: `weight_ih [3H, I]` and `bias [3H]`, both U(−1/√I, 1/√I), as in `nn.Linear`.

    Args:
        input_size: I.
        hidden_size: H.
    """

    input_size: Size
    hidden_size: Size

    def derive(self) -> None:
        self.output_size = self.hidden_size

    def parts(self) -> dict[str, Part | None]:
        rows = 3 * self.hidden_size
        return {"weight_ih": Weight((rows, self.input_size)), "bias": Weight((rows,))}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the weights again."""
        initialise_linear(self.weight_ih, self.bias)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> HiddenState:
        return HiddenState(self.zeros(batch_size, self.hidden_size, device, dtype))

    def step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h
        f, i, n = F.linear(x, self.weight_ih, self.bias).chunk(3, dim=1)
        gap = F.logsigmoid(f) - F.logsigmoid(i)
        h = torch.sigmoid(gap) * h + torch.sigmoid(-gap) * n
        return h, HiddenState(h)
