"""Attention of a decoder to the outputs of an encoder (Bahdanau et al. 2015, Luong et al. 2015).

The memory is part of the state: `memory`, `keys` and `length` are leaves that no step changes, so that beam reordering,
streaming and saving need no special case for an attentive decoder.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.combinators.stack import Stack
from stepscan.contract import Recurrence, check_layers
from stepscan.errors import nearest
from stepscan.kernels.pointwise import Linear, attend, attend_is_supported, softmax, tanh
from stepscan.kernels.training import Attend
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State

KINDS = ("additive", "dot", "general")


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension, restricted to where `mask` is true; zeros if it is true nowhere."""
    lowest = torch.finfo(scores.dtype).min if torch.is_grad_enabled() else float("-inf")  # −∞ gives NaN gradients
    return torch.where(mask, softmax(scores.masked_fill(~mask, lowest)), 0)


class AdditiveAttention(nn.Module):
    """`score(q, m) = v · tanh(W_q q + W_m m)` (Bahdanau et al. 2015, appendix A.1.2).

    Args:
        query_size: Q, size of a query q.
        memory_size: M, size of an item m of the memory.
        size: A, size of the hidden layer.
    """

    def __init__(self, query_size: int, memory_size: int, size: int) -> None:
        super().__init__()
        self.of_query = Linear(query_size, size)
        self.of_memory = Linear(memory_size, size, bias=False)
        self.score = Linear(size, 1, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Queries `[B, T, Q]`, keys `of_memory(memory)` `[B, S, A]`, memory `[B, S, M]`, length `[B]`
        → contexts `[B, T, M]` and weights `[B, T, S]`."""
        return _attend(self.of_query(queries), keys, memory, length, self.score.weight)


class ProductAttention(nn.Module):
    """`score(q, m) = q · W m` (`general`), or `q · m` without W (`dot`; Luong et al. 2015, eq. 8).

    Args:
        query_size: Q, size of a query q.
        memory_size: M, size of an item m of the memory; without W equal to Q.
        weighted: whether there is a W.

    Raises:
        ValueError: without W, the two sizes differ.
    """

    def __init__(self, query_size: int, memory_size: int, weighted: bool) -> None:
        super().__init__()
        if not weighted and query_size != memory_size:
            raise ValueError(
                f"attention 'dot': expected queries and memory of one size, got {query_size} and {memory_size}; "
                "use 'general'"
            )
        self.of_memory = Linear(memory_size, query_size, bias=False) if weighted else nn.Identity()

    def forward(self, queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """As `AdditiveAttention`; keys `of_memory(memory)` `[B, S, Q]`."""
        return _attend(queries, keys, memory, length, None)


def _attend(
    queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`kernels.pointwise.attend` if it supports the tensors, otherwise the same in PyTorch."""
    if not attend_is_supported(queries, keys, memory, *([] if score is None else [score])):
        return _reference(queries, keys, memory, length, score)
    inputs = (queries, keys, memory, length, score)
    return Attend.apply(_reference, *inputs) if torch.is_grad_enabled() else attend(*inputs)


def _reference(
    queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor]:
    if score is None:
        scores = queries @ keys.transpose(1, 2)
    else:
        scores = F.linear(torch.tanh(queries[:, :, None] + keys[:, None]), score)[..., 0]
    mask = torch.arange(memory.shape[1], device=memory.device) < length[:, None]
    weights = masked_softmax(scores, mask[:, None])
    return weights @ memory, weights


def _build_attention(kind: str, query_size: int, memory_size: int, size: int) -> AdditiveAttention | ProductAttention:
    if kind not in KINDS:
        raise ValueError(f"attention: expected one of {', '.join(KINDS)}, got {kind!r}.{nearest(kind, KINDS)}")
    if kind == "additive":
        return AdditiveAttention(query_size, memory_size, size)
    return ProductAttention(query_size, memory_size, weighted=kind == "general")


class MemoryAttention(Recurrence):
    """A recurrence that attends to a memory, which is part of its state.

    The state's field `weights [B, S]` holds the attention weights of the last step.
    """

    memory_size: int  # M, size of an item of the memory

    def set_memory(self, state: Any, memory: Sequences) -> Any:
        """The state with this memory `[B, S, M]`."""
        raise NotImplementedError(f"{type(self).__name__}: expected a set_memory(state, memory); define it")


def memory_attentions(layer: nn.Module) -> list[MemoryAttention]:
    """The layer itself and the layers inside it that attend to a memory."""
    return [module for module in layer.modules() if isinstance(module, MemoryAttention)]


def set_memory(layer: nn.Module, state: State, memory: Sequences) -> State:
    """The state of a layer with this memory `[B, S, M]`, in a stack that of each layer which attends to one."""
    if isinstance(layer, MemoryAttention):
        return layer.set_memory(state, memory)
    if isinstance(layer, Stack):
        return tuple(set_memory(*pair, memory) for pair in zip(layer.layers, state, strict=True))
    return state


def attention_weights(state: State) -> list[Any]:
    """The attention weights of the last step `[B, S]`, of each `MemoryAttention` in a layer with this state."""
    if not isinstance(state, tuple):
        return []
    if hasattr(state, "weights"):
        return [state.weights]
    return [weights for field in state for weights in attention_weights(field)]


class AttentiveState(NamedTuple):
    inner: State
    memory: Tensor  # [B, S, M]
    keys: Tensor  # [B, S, A]; [B, S, H] for dot and general attention
    length: Tensor  # [B], of the memory
    weights: Tensor  # [B, S], attention weights of the last step
    last_output: Tensor  # [B, H]


@register("attentive_decoder")
class AttentiveDecoder(MemoryAttention):
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

    def __init__(
        self,
        layer: Recurrence,
        memory_size: int,
        attention_size: int,
        input_feeding: bool = False,
        kind: str = "additive",
    ) -> None:
        super().__init__()
        check_layers("AttentiveDecoder", layer)
        if not isinstance(layer, Recurrence):
            raise TypeError(f"AttentiveDecoder: expected a Recurrence, got {layer.signature}, which is not causal")
        self.output_size = layer.output_size
        self.input_size = layer.input_size - (self.output_size if input_feeding else 0)
        if self.input_size < 1:
            raise ValueError(
                f"AttentiveDecoder: expected an input size above H with input feeding, got {layer.signature}"
            )
        self.layer, self.input_feeding = layer, input_feeding
        self.memory_size, self.attention_size = memory_size, attention_size
        self.attention = _build_attention(kind, layer.output_size, memory_size, attention_size)
        self.key_size = attention_size if kind == "additive" else layer.output_size
        self.combine = Linear(layer.output_size + memory_size, self.output_size)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> AttentiveState:
        return self._without_memory(self.layer.initial_state(batch_size, device=device, dtype=dtype), batch_size)

    def set_memory(self, state: AttentiveState, memory: Sequences) -> AttentiveState:
        data = memory.zeroed().data
        weights = data.new_zeros(data.shape[:2])
        keys = self.attention.of_memory(data)
        keys = keys.clone() if keys is data else keys  # leaves of a state must not share memory, or it cannot be saved
        return state._replace(memory=data, keys=keys, length=memory.lengths, weights=weights)

    def step(self, x: Tensor, state: AttentiveState) -> tuple[Tensor, AttentiveState]:
        if self.input_feeding:
            x = torch.cat([x, state.last_output], dim=1)
        h, inner = self.layer.step(x, state.inner)
        y, weights = self._attend(h[:, None], state)
        return y[:, 0], state._replace(inner=inner, weights=weights[:, 0], last_output=y[:, 0])

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        if self.input_feeding:
            return super().scan(inputs, state)
        inputs = self.check_input(inputs)
        if state is None:
            state = self.initial_state(len(inputs), device=inputs.data.device, dtype=inputs.data.dtype)
        hidden, inner = self.layer(inputs, state.inner)
        y, weights = self._attend(hidden.zeroed().data, state)
        outputs = inputs.replace(y).zeroed()
        weights = inputs.replace(weights).last(default=state.weights)
        return outputs, state._replace(
            inner=inner, weights=weights, last_output=outputs.last(default=state.last_output)
        )

    def readout(self, state: AttentiveState) -> Tensor:
        return state.last_output

    def renew(self, state: AttentiveState) -> AttentiveState:
        return state._replace(inner=self.layer.renew(state.inner))

    @property
    def condition_size(self) -> int:
        return self.layer.condition_size

    def condition(self, vector: Tensor) -> AttentiveState:
        return self._without_memory(self.layer.condition(vector), len(vector))

    def _attend(self, hidden: Tensor, state: AttentiveState) -> tuple[Tensor, Tensor]:
        context, weights = self.attention(hidden, state.keys, state.memory, state.length)
        return tanh(self.combine(torch.cat([hidden, context], dim=2))), weights

    def _without_memory(self, inner: State, batch_size: int) -> AttentiveState:
        weight = self.combine.weight
        return AttentiveState(
            inner,
            memory=weight.new_zeros(batch_size, 0, self.memory_size),
            keys=weight.new_zeros(batch_size, 0, self.key_size),
            length=weight.new_zeros(batch_size, dtype=torch.long),
            weights=weight.new_zeros(batch_size, 0),
            last_output=weight.new_zeros(batch_size, self.output_size),
        )
