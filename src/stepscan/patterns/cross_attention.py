"""Cross attention of a transformer decoder to the outputs of an encoder (Vaswani et al. 2017), as a layer.

q_t = W_q norm(x_t)
c_t = Σ_s softmax_s(q_t · k_s / √d) v_s           per head; k_s, v_s = W_k m_s, W_v m_s
y_t = x_t + W_o c_t + b_o

It can follow any cell: `Stack([Transformer, CrossAttention, Transformer, CrossAttention])`.
"""

from __future__ import annotations

from stepscan.definitions import attention as definitions
from stepscan.patterns.attention import MemoryAttention
from stepscan.registry import register


@register("cross_attention")
class CrossAttention(definitions.CrossAttention, MemoryAttention):
    """Multi-head attention to a memory, with pre-norm and a residual connection.

    Args:
        size: H, input and output size.
        memory_size: M, size of an item of the memory.
        heads: a divisor of H; 0 for the most heads of size 32 or more.
        dropout: probability for the output of attention in training.

    Raises:
        ValueError: `heads` does not divide H, or `dropout` is not in [0, 1).
    """
