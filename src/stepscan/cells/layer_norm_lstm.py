"""LSTM with layer normalisation (Ba et al. 2016, Layer Normalization, eqs 20 to 22).

s_t = α_ih ⊙ norm(W_ih x_t) + α_hh ⊙ norm(W_hh h_{t-1}) + b        norm over all 4H elements
i, f, g, o = the quarters of s_t
c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g)
h_t = σ(o) ⊙ tanh(α_c ⊙ norm(c_t) + β_c)        y_t = h_t         norm over H elements

norm(v) = (v − mean(v)) / √(variance(v) + 10⁻⁵)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.cells.cell import Cell
from stepscan.cells.lstm import LSTMState, set_gate_biases
from stepscan.contract import Recurrence
from stepscan.definitions import cells as definitions
from stepscan.registry import register
from stepscan.sequences import Sequences


@register("layer_norm_lstm")
class LayerNormLSTM(definitions.LayerNormLSTM, Cell):
    """LSTM with layer normalisation of its preactivations and its cell; its state is that of an LSTM.

    Weights, in the order i, f, g, o: `weight_ih [4H, I]`, `weight_hh [4H, H]`; gains `gain_ih`, `gain_hh [4H]` and
    `gain_c [H]`, initially 1; biases `bias [4H]` and `bias_c [H]`, initially 0 except for the forget gate's.

    Args:
        input_size: I.
        hidden_size: H.
        initialisation: `"orthogonal"`, or `"chrono"` (Tallec & Ollivier 2018).
        t_max: with chrono, the longest dependency in steps.
        forget_bias: initial bias of the forget gate; None for 1 (Gers et al. 2000).
    """

    @torch.no_grad()
    def reset_parameters(self) -> None:
        super().reset_parameters()
        for gain in (self.gain_ih, self.gain_hh, self.gain_c):
            nn.init.ones_(gain)
        for bias in (self.bias, self.bias_c):
            nn.init.zeros_(bias)
        set_gate_biases(self.bias, self.scheme)

    @property
    def weights(self) -> list[Tensor]:
        return [weight for weight in self.kernel_weights if weight is not None]

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> LSTMState:
        zeros = self.zeros(batch_size, self.hidden_size, device, dtype)
        return LSTMState(zeros, zeros.clone())

    def equations(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        x_gates, h_gates = F.linear(x, self.weight_ih), F.linear(state.h, self.weight_hh)
        gates, size = [4 * self.hidden_size], [self.hidden_size]
        total = F.layer_norm(x_gates, gates, self.gain_ih) + F.layer_norm(h_gates, gates, self.gain_hh) + self.bias
        i, f, g, o = total.chunk(4, dim=1)
        c = torch.sigmoid(f) * state.c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(F.layer_norm(c, size, self.gain_c, self.bias_c))
        return h, LSTMState(h, c)

    def fused_scan(self, inputs: Sequences, state: LSTMState) -> tuple[Sequences, LSTMState]:
        return Recurrence.scan(self, inputs, state)  # PyTorch has no fused kernel for it

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"
