"""Long short-term memory (Hochreiter & Schmidhuber 1997) with a forget gate (Gers et al. 2000).

i_t = σ(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)          input gate
f_t = σ(W_if x_t + b_if + W_hf h_{t-1} + b_hf)          forget gate
g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)       candidate
o_t = σ(W_io x_t + b_io + W_ho h_{t-1} + b_ho)          output gate
c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t                         cell: a sum, so that gradients pass
h_t = o_t ⊙ tanh(c_t)        y_t = h_t
"""

from __future__ import annotations

import torch
from torch import Tensor

from stepscan.cells.cell import Cell, scan_packed, scan_padded_lstm
from stepscan.cells.initialisation import forget_biases
from stepscan.definitions import cells as definitions
from stepscan.definitions.cell_states import LSTMState
from stepscan.definitions.initialisation import Initialisation
from stepscan.registry import register
from stepscan.sequences import Sequences


@register("lstm")
class LSTM(definitions.LSTM, Cell):
    """Long short-term memory; weights in the order i, f, g, o.

    Args:
        input_size: I.
        hidden_size: H.
        bias: whether there are biases.
        initialisation: `"orthogonal"`, or `"chrono"` (Tallec & Ollivier 2018).
        t_max: with chrono, the longest dependency in steps.
        forget_bias: initial bias of the forget gate; None for 1 (Gers et al. 2000).
    """

    @torch.no_grad()
    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.bias_ih is not None:
            set_gate_biases(self.bias_ih, self.scheme)

    def fused_scan(self, inputs: Sequences, state: LSTMState) -> tuple[Sequences, LSTMState]:
        if inputs.data.is_cuda:  # cuDNN supports packed sequences
            outputs, (h, c) = scan_packed(torch.lstm, inputs, state, self.weights)
        else:
            outputs, (h, c) = scan_padded_lstm(inputs, state.h, state.c, self.weights)
        return outputs, LSTMState(h, c)


def set_gate_biases(bias: Tensor, initialisation: Initialisation) -> None:
    """Initialise the forget gate's part of a bias `[4H]` (i, f, g, o), and with chrono the input gate's."""
    input_bias, forget_bias, _, _ = bias.chunk(4)
    forget_bias.copy_(forget_biases(initialisation, len(forget_bias)))
    if initialisation.kind == "chrono":
        input_bias.copy_(-forget_bias)
