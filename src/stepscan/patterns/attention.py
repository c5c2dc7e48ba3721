"""Attention: a decoder that looks back at what an encoder wrote (Bahdanau et al. 2015, Luong et al. 2015).

What it looks at is part of the state: `memory`, `keys` and `length` are leaves that no step changes, so that reordering
beams, streaming and saving treat an attentive decoder as any other recurrence.
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
    """Softmax over the last dimension among the places where `mask` is true; all zeros where there is none."""
    least = torch.finfo(scores.dtype).min if torch.is_grad_enabled() else float("-inf")  # −∞ has no gradient
    return torch.where(mask, softmax(scores.masked_fill(~mask, least)), 0)


class AdditiveAttention(nn.Module):
    """`score(q, m) = v · tanh(W_q q + W_m m)` (Bahdanau et al. 2015, appendix A.1.2).

    Args:
        query_size: numbers in a query q.
        memory_size: numbers in an item m of the memory.
        size: width A of the hidden layer.
    """

    def __init__(self, query_size: int, memory_size: int, size: int) -> None:
        super().__init__()
        self.of_query = Linear(query_size, size)
        self.of_memory = Linear(memory_size, size, bias=False)
        self.score = Linear(size, 1, bias=False)

    def forward(self, queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Queries `[B, T, Q]`, keys `of_memory(memory)` `[B, S, A]`, memory `[B, S, M]`, length `[B]`
        → contexts `[B, T, M]` and weights `[B, T, S]`."""
        return _look_up(self.of_query(queries), keys, memory, length, self.score.weight)


class ProductAttention(nn.Module):
    """`score(q, m) = q · W m` (`general`), or `q · m` without W (`dot`; Luong et al. 2015, eq. 8).

    Args:
        query_size: numbers in a query q.
        memory_size: numbers in an item m of the memory; without W as many.
        weighted: whether there is a W.

    Raises:
        ValueError: without W, the two sizes differ.
    """

    def __init__(self, query_size: int, memory_size: int, weighted: bool) -> None:
        super().__init__()
        if not weighted and query_size != memory_size:
            raise ValueError(
                f"dot attention needs queries as wide as the memory, but they are {query_size} and {memory_size}; "
                "use general attention"
            )
        self.of_memory = Linear(memory_size, query_size, bias=False) if weighted else nn.Identity()

    def forward(self, queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """As `AdditiveAttention`; keys `of_memory(memory)` `[B, S, Q]`."""
        return _look_up(queries, keys, memory, length, None)


def _look_up(
    queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As `attend`, wherever the tensors lie."""
    if not attend_is_supported(queries, keys, memory, *([] if score is None else [score])):
        return _equations(queries, keys, memory, length, score)
    given = (queries, keys, memory, length, score)
    return Attend.apply(_equations, *given) if torch.is_grad_enabled() else attend(*given)


def _equations(
    queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor]:
    if score is None:
        scores = queries @ keys.transpose(1, 2)
    else:
        scores = F.linear(torch.tanh(queries[:, :, None] + keys[:, None]), score)[..., 0]
    mask = torch.arange(memory.shape[1], device=memory.device) < length[:, None]
    weights = masked_softmax(scores, mask[:, None])
    return weights @ memory, weights


def _attention(kind: str, query_size: int, memory_size: int, size: int) -> AdditiveAttention | ProductAttention:
    if kind not in KINDS:
        raise ValueError(f"unknown attention {kind!r}.{nearest(kind, KINDS)}")
    if kind == "additive":
        return AdditiveAttention(query_size, memory_size, size)
    return ProductAttention(query_size, memory_size, weighted=kind == "general")


class Attentive(Recurrence):
    """A recurrence that looks at a memory, which is part of its state."""

    memory_size: int  # M, numbers in an item of the memory

    def attend_to(self, state: Any, memory: Sequences) -> Any:
        """The state with something to look at: `memory [B, S, M]`."""
        raise NotImplementedError


def attentive_parts(layer: nn.Module) -> list[Attentive]:
    """The parts of a layer that look at a memory."""
    return [part for part in layer.modules() if isinstance(part, Attentive)]


def attend_to(layer: nn.Module, state: State, memory: Sequences) -> State:
    """The layer's state with something to look at, in each part of it that looks."""
    if isinstance(layer, Attentive):
        return layer.attend_to(state, memory)
    if isinstance(layer, Stack):
        return tuple(attend_to(part, own, memory) for part, own in zip(layer.layers, state, strict=True))
    return state


def looks(state: State) -> list[Any]:
    """Where each attentive part looked in its last step, `[B, S]`."""
    if not isinstance(state, tuple):
        return []
    return [state.weights] if hasattr(state, "weights") else [one for part in state for one in looks(part)]


class AttentiveState(NamedTuple):
    inner: State
    memory: Tensor  # [B, S, M]
    keys: Tensor  # [B, S, A], or as wide as h for a product
    length: Tensor  # [B], items of the memory that count
    weights: Tensor  # [B, S], where the last step looked
    feed: Tensor  # [B, H], the last output


@register("attentive_decoder")
class AttentiveDecoder(Attentive):
    """A recurrence whose every output is joined with what it finds in a memory.

        h_t = layer([x_t ; y_{t−1}])     (without input feeding: layer(x_t))
        c_t = Σ_s softmax_s(score(h_t, m_s)) m_s
        y_t = tanh(W [h_t ; c_t])        (Luong et al. 2015, eq. 5)

    Args:
        layer: any Recurrence; with input feeding its input width is I + H.
        memory_size: M, numbers in an item of the memory.
        attention_size: A, width of the score's hidden layer.
        input_feeding: whether the last output joins the next input (Luong et al. 2015, §3.3). Then steps cannot be
            taken all at once, and `scan` is the loop over `step`.
        kind: of the score: `additive` (Bahdanau et al. 2015), `dot` or `general` (Luong et al. 2015); these two
            have no hidden layer.
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
            raise TypeError(f"AttentiveDecoder needs a Recurrence, but {layer.described} has no step; it is not causal")
        self.output_size = layer.output_size
        self.input_size = layer.input_size - (self.output_size if input_feeding else 0)
        if self.input_size < 1:
            raise ValueError(f"with input feeding the layer must take inputs wider than H, but it is {layer.described}")
        self.layer, self.input_feeding = layer, input_feeding
        self.memory_size, self.attention_size = memory_size, attention_size
        self.attention = _attention(kind, layer.output_size, memory_size, attention_size)
        self.key_size = attention_size if kind == "additive" else layer.output_size
        self.combine = Linear(layer.output_size + memory_size, self.output_size)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> AttentiveState:
        return self._with_nothing_to_see(self.layer.initial_state(batch_size, device=device, dtype=dtype), batch_size)

    def attend_to(self, state: AttentiveState, memory: Sequences) -> AttentiveState:
        """The state with something to look at: `memory [B, S, M]`."""
        data = memory.zeroed().data
        weights = data.new_zeros(data.shape[:2])
        keys = self.attention.of_memory(data)
        keys = keys.clone() if keys is data else keys  # two leaves of a state are two tensors, or it could not be saved
        return state._replace(memory=data, keys=keys, length=memory.lengths, weights=weights)

    def step(self, x: Tensor, state: AttentiveState) -> tuple[Tensor, AttentiveState]:
        if self.input_feeding:
            x = torch.cat([x, state.feed], dim=1)
        h, inner = self.layer.step(x, state.inner)
        y, weights = self._look(h[:, None], state)
        return y[:, 0], state._replace(inner=inner, weights=weights[:, 0], feed=y[:, 0])

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        if self.input_feeding:
            return super().scan(inputs, state)
        inputs = self.check_input(inputs)
        if state is None:
            state = self.initial_state(len(inputs), device=inputs.data.device, dtype=inputs.data.dtype)
        hidden, inner = self.layer(inputs, state.inner)
        y, weights = self._look(hidden.zeroed().data, state)
        outputs = inputs.replace(y).zeroed()
        seen = inputs.replace(weights).last(default=state.weights)
        return outputs, state._replace(inner=inner, weights=seen, feed=outputs.last(default=state.feed))

    def readout(self, state: AttentiveState) -> Tensor:
        return state.feed

    def renew(self, state: AttentiveState) -> AttentiveState:
        return state._replace(inner=self.layer.renew(state.inner))

    @property
    def condition_size(self) -> int:
        return self.layer.condition_size

    def condition(self, vector: Tensor) -> AttentiveState:
        return self._with_nothing_to_see(self.layer.condition(vector), len(vector))

    def _look(self, hidden: Tensor, state: AttentiveState) -> tuple[Tensor, Tensor]:
        context, weights = self.attention(hidden, state.keys, state.memory, state.length)
        return tanh(self.combine(torch.cat([hidden, context], dim=2))), weights

    def _with_nothing_to_see(self, inner: State, batch_size: int) -> AttentiveState:
        like = self.combine.weight
        return AttentiveState(
            inner,
            memory=like.new_zeros(batch_size, 0, self.memory_size),
            keys=like.new_zeros(batch_size, 0, self.key_size),
            length=like.new_zeros(batch_size, dtype=torch.long),
            weights=like.new_zeros(batch_size, 0),
            feed=like.new_zeros(batch_size, self.output_size),
        )
