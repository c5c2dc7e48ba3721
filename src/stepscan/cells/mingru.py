"""minGRU (Feng et al. 2024, Were RNNs All We Needed?, §3.1): a GRU whose gate does not look at the state.

z_t = σ(W_iz x_t + b_z)                                 update gate
n_t = W_in x_t + b_n                                    candidate
h_t = (1 − z_t) ⊙ h_{t-1} + z_t ⊙ n_t        y_t = h_t
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


@register("mingru")
@dataclass(eq=False)
class MinGRU(Recurrence):
    """minGRU: linear in its state, and without weights between its units.

    Weights, in the order z, n: `weight_ih [2H, I]` and `bias [2H]`, both U(−1/√I, 1/√I), as in `nn.Linear`.

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
        z, n = F.linear(x, self.weight_ih, self.bias).chunk(2, dim=1)
        z = torch.sigmoid(z)
        h = (1 - z) * h + z * n
        return h, HiddenState(h)
