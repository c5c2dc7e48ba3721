"""Attention of a decoder to the outputs of an encoder (Bahdanau et al. 2015, Luong et al. 2015).

`stepscan.definitions.attention` has the computations, for this and the runtime.
"""

from __future__ import annotations

from typing import Any

from stepscan.contract import Recurrence
from stepscan.definitions import attention as definitions
from stepscan.registry import register
from stepscan.sequences import Sequences


class MemoryAttention(definitions.MemoryAttentionDefinition, Recurrence):
    """A recurrence that attends to a memory, which is part of its state.

    The state's field `weights [B, S]` holds the attention weights of the last step.
    """

    memory_size: int  # M, size of an item of the memory

    def set_memory(self, state: Any, memory: Sequences) -> Any:
        """The state with this memory `[B, S, M]`."""
        raise NotImplementedError(f"{type(self).__name__}: expected a set_memory(state, memory); define it")


@register("attentive_decoder")
class AttentiveDecoder(definitions.AttentiveDecoder, MemoryAttention):
    """A recurrence whose outputs are combined with the context that attention reads from a memory.

        h_t = layer([x_t ; y_{t−1}])     (without input feeding: layer(x_t))
        c_t = Σ_s softmax_s(score(h_t, m_s)) m_s
        y_t = tanh(W [h_t ; c_t])        (Luong et al. 2015, eq. 5)

    Args:
        layer: any Recurrence; with input feeding its input size is I + H.
        memory_size: M, size of an item of the memory.
        attention_size: A, size of the score's hidden layer.
        input_feeding: whether the last output is concatenated to the next input (Luong et al. 2015, §3.3); `scan` is
            then a loop over `step`.
        kind: the score: `additive` (Bahdanau et al. 2015), or `dot` or `general` (Luong et al. 2015), which have no
            hidden layer.

    Raises:
        TypeError: `layer` is not a Recurrence.
        ValueError: a size does not fit, or `kind` is unknown.
    """
