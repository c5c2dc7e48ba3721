"""Cross attention of a transformer decoder to the outputs of an encoder (Vaswani et al. 2017), as a layer.

q_t = W_q norm(x_t)
c_t = Σ_s softmax_s(q_t · k_s / √d) v_s           per head; k_s, v_s = W_k m_s, W_v m_s
y_t = x_t + W_o c_t + b_o

It can follow any cell: `Stack([Transformer, CrossAttention, Transformer, CrossAttention])`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stepscan.dropout_masks import dropout
from stepscan.fields import check_probability, choose_heads
from stepscan.kernels.pointwise import LayerNorm, Linear
from stepscan.patterns.attention import MemoryAttention, masked_softmax
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


class CrossAttentionState(NamedTuple):
    keys: Tensor  # [B, S, H], of the memory's items
    values: Tensor  # [B, S, H]
    length: Tensor  # [B], of the memory
    weights: Tensor  # [B, S], attention weights of the last step, the mean over the heads
    h: Tensor  # [B, H], the last output


@register("cross_attention")
class CrossAttention(MemoryAttention):
    """Multi-head attention to a memory, with pre-norm and a residual connection.

    Args:
        size: H, input and output size.
        memory_size: M, size of an item of the memory.
        heads: a divisor of H; 0 for the most heads of size 32 or more.
        dropout: probability for the output of attention in training.

    Raises:
        ValueError: `heads` does not divide H, or `dropout` is not in [0, 1).
    """

    def __init__(self, size: int, memory_size: int, heads: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        check_probability(dropout=dropout)
        self.input_size, self.output_size, self.memory_size = size, size, memory_size
        self.heads, self.dropout = choose_heads(size, heads), dropout
        self.norm = LayerNorm(size)
        self.of_query = Linear(size, size)
        self.of_memory = Linear(memory_size, 2 * size)
        self.output = Linear(size, size)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> CrossAttentionState:
        h = self.zeros(batch_size, self.output_size, device, dtype)
        empty = h.new_zeros(batch_size, 0, self.output_size)
        length = torch.zeros(batch_size, dtype=torch.long, device=h.device)
        return CrossAttentionState(empty, empty.clone(), length, h.new_zeros(batch_size, 0), h)

    def set_memory(self, state: CrossAttentionState, memory: Sequences) -> CrossAttentionState:
        data = memory.zeroed().data
        keys, values = (x.contiguous() for x in self.of_memory(data).chunk(2, dim=2))
        return CrossAttentionState(keys, values, memory.lengths, data.new_zeros(data.shape[:2]), state.h)

    def step(self, x: Tensor, state: CrossAttentionState) -> tuple[Tensor, CrossAttentionState]:
        y, weights = self._attend(x[:, None], state)
        return y[:, 0], state._replace(weights=weights[:, 0], h=y[:, 0])

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        inputs = self.check_input(inputs)
        if state is None:
            state = self.initial_state(len(inputs), device=inputs.data.device, dtype=inputs.data.dtype)
        y, weights = self._attend(inputs.zeroed().data, state)
        outputs = inputs.replace(y).zeroed()
        weights = inputs.replace(weights).last(default=state.weights)
        return outputs, state._replace(weights=weights, h=outputs.last(default=state.h))

    def readout(self, state: CrossAttentionState) -> Tensor:
        return state.h

    @property
    def condition_size(self) -> int:
        return 0

    def condition(self, vector: Tensor) -> CrossAttentionState:
        self.check_condition(vector)
        return self.initial_state(len(vector), device=vector.device, dtype=vector.dtype)

    def _attend(self, x: Tensor, state: CrossAttentionState) -> tuple[Tensor, Tensor]:
        """`x [B, T, H]` → outputs `[B, T, H]` and attention weights `[B, T, S]`."""
        q, k, v = (
            projected.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projected in (self.of_query(self.norm(x)), state.keys, state.values)
        )
        mask = torch.arange(k.shape[2], device=x.device) < state.length[:, None]
        weights = masked_softmax(q @ k.transpose(2, 3) / q.shape[3] ** 0.5, mask[:, None, None])
        context = (weights @ v).transpose(1, 2).flatten(2)
        return x + dropout(self.output(context), self.dropout, self.training), weights.mean(dim=1)
