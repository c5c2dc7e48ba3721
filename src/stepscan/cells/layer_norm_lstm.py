"""LSTM with layer normalisation (Ba et al. 2016, Layer Normalization, eqs 20 to 22).

s_t = α_ih ⊙ norm(W_ih x_t) + α_hh ⊙ norm(W_hh h_{t-1}) + b        norm over all 4H elements
i, f, g, o = the quarters of s_t
c_t = σ(f) ⊙ c_{t-1} + σ(i) ⊙ tanh(g)
h_t = σ(o) ⊙ tanh(α_c ⊙ norm(c_t) + β_c)        y_t = h_t         norm over H elements

norm(v) = (v − mean(v)) / √(variance(v) + 10⁻⁵)
"""

from __future__ import annotations

import torch
from torch import nn

from stepscan.cells.cell import Cell
from stepscan.cells.lstm import set_gate_biases
from stepscan.definitions import cells as definitions
from stepscan.definitions.cell_states import LSTMState
from stepscan.definitions.layer import scan_by_steps
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

    def fused_scan(self, inputs: Sequences, state: LSTMState) -> tuple[Sequences, LSTMState]:
        return scan_by_steps(self, inputs, state)  # PyTorch has no fused kernel for it

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"
