"""Definitions of the layers that attend to a memory, such as the outputs of an encoder.

The memory is part of the state: `memory`, `keys` and `length` are leaves that no step changes, so that beam reordering,
streaming and saving need no special case for an attentive decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from stepscan.definitions.definition import Linear, Norm, Part, definition
from stepscan.definitions.kinds import AttentionKind, Causal, Flag, Probability, Size
from stepscan.definitions.layer import CombinatorDefinition, LayerDefinition, scan_by_steps, start
from stepscan.fields import choose_heads
from stepscan.state import State


class MemoryAttentionDefinition(LayerDefinition):
    """Base of the layers that attend to a memory, which is part of their state.

    The state's field `weights [B, S]` holds the attention weights of the last step.

    Attributes:
        memory_size: M, size of an item of the memory.
    """

    memory_size: int
    caches = True
    has_kernel = False

    @property
    def memories(self) -> tuple[int, ...]:
        return (self.memory_size, *super().memories)

    def set_memory(self, state: Any, memory: Any) -> Any:
        """The state with this memory `[B, S, M]`."""
        raise NotImplementedError(f"{type(self).__name__}: expected a set_memory(state, memory); define it")


def attention_weights(state: State) -> list[Any]:
    """The attention weights of the last step `[B, S]`, of each layer that attends to a memory."""
    if not isinstance(state, tuple):
        return []
    own = [state.weights] if hasattr(state, "weights") else []
    return own + [weights for field in state for weights in attention_weights(field)]


class AttentiveState(NamedTuple):
    inner: State
    memory: Any  # [B, S, M]
    keys: Any  # [B, S, A]; [B, S, H] for dot and general attention
    length: Any  # [B], of the memory
    weights: Any  # [B, S], attention weights of the last step
    last_output: Any  # [B, H]


@definition("attentive_decoder")
@dataclass(eq=False, repr=False)
class AttentiveDecoder(MemoryAttentionDefinition, CombinatorDefinition):
    """See `stepscan.AttentiveDecoder`."""

    layer: Causal
    memory_size: Size
    attention_size: Size
    input_feeding: Flag = False
    kind: AttentionKind = "additive"

    def derive(self) -> None:
        layer, size = self.layer, self.layer.output_size
        self.output_size, self.input_size = size, layer.input_size - (size if self.input_feeding else 0)
        if self.input_size < 1:
            raise ValueError(
                f"AttentiveDecoder: expected an input size above H with input feeding, got {layer.signature}"
            )
        if self.kind == "dot" and size != self.memory_size:
            raise ValueError(
                f"attention 'dot': expected queries and memory of one size, got {size} and {self.memory_size}; "
                "use 'general'"
            )
        self.key_size = self.attention_size if self.kind == "additive" else size

    def parts(self) -> dict[str, Part | None]:
        size, memory_size, hidden_size = self.output_size, self.memory_size, self.attention_size
        scores: dict[str, dict[str, Part | None]] = {
            "additive": {
                "attention.of_query": Linear(size, hidden_size),
                "attention.of_memory": Linear(memory_size, hidden_size, bias=False),
                "attention.score": Linear(hidden_size, 1, bias=False),
            },
            "general": {"attention.of_memory": Linear(memory_size, size, bias=False)},
            "dot": {},
        }
        return {**scores[self.kind], "combine": Linear(size + memory_size, size)}

    @property
    def values_per_item(self) -> int:
        return super().values_per_item + self.memory_size + self.attention_size

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> AttentiveState:
        """The initial state, with an empty memory."""
        return self._without_memory(self.layer.initial_state(batch_size, device=device, dtype=dtype), batch_size)

    def condition(self, vector: Any) -> AttentiveState:
        """See `stepscan.Recurrence.condition`; the memory is empty."""
        return self._without_memory(self.layer.condition(vector), len(vector))

    def set_memory(self, state: AttentiveState, memory: Any) -> AttentiveState:
        data = memory.zeroed().data
        keys = self.memory_keys(data)
        weights, inner = self.ops.zeros(data, *data.shape[:2]), self.layer.set_memory(state.inner, memory)
        return AttentiveState(inner, data, keys, memory.lengths, weights, state.last_output)

    def step(self, x: Any, state: AttentiveState) -> tuple[Any, AttentiveState]:
        """See `stepscan.Recurrence.step`."""
        if self.input_feeding:
            x = self.ops.concat([x, state.last_output], axis=1)
        h, inner = self.layer.step(x, state.inner)
        y, weights = self._attend(h[:, None], state)
        return y[:, 0], state._replace(inner=inner, weights=weights[:, 0], last_output=y[:, 0])

    def scan(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        if self.input_feeding:
            return scan_by_steps(self, inputs, state)
        inputs = self.check_input(inputs)
        state = start(self, inputs, state)
        hidden, inner = self.layer(inputs, state.inner)
        y, weights = self._attend(hidden.zeroed().data, state)
        outputs = inputs.replace(y).zeroed()
        weights = inputs.replace(weights).last(default=state.weights)
        last = outputs.last(default=state.last_output)
        return outputs, state._replace(inner=inner, weights=weights, last_output=last)

    def with_room(self, state: AttentiveState, items: int) -> AttentiveState:
        return state._replace(inner=self.layer.with_room(state.inner, items))

    def readout(self, state: AttentiveState) -> Any:
        return state.last_output

    def renew(self, state: AttentiveState) -> AttentiveState:
        return state._replace(inner=self.layer.renew(state.inner))

    def memory_keys(self, memory: Any) -> Any:
        """The items of a memory `[B, S, M]` as attention compares queries with them: `[B, S, A]`, or `[B, S, H]`."""
        return self.ops.copy(memory) if self.kind == "dot" else self.attention.of_memory(memory)

    def attend(self, queries: Any, keys: Any, memory: Any, length: Any) -> tuple[Any, Any]:
        """Queries `[B, T, H]`, keys and the memory `[B, S, M]` of `length [B]` → contexts `[B, T, M]` and weights
        `[B, T, S]`: `score(q, m)` is v · tanh(W_q q + W_m m) (additive), q · W m (general) or q · m (dot)."""
        if self.kind != "additive":
            return self.ops.attend(queries, keys, memory, length, None)
        return self.ops.attend(self.attention.of_query(queries), keys, memory, length, self.attention.score.weight)

    def _attend(self, hidden: Any, state: AttentiveState) -> tuple[Any, Any]:
        """The layer's outputs `[B, T, H]` → this layer's `[B, T, H]`, and attention weights `[B, T, S]`."""
        context, weights = self.attend(hidden, state.keys, state.memory, state.length)
        return self.ops.tanh(self.combine(self.ops.concat([hidden, context], axis=2))), weights

    def _without_memory(self, inner: State, rows: int) -> AttentiveState:
        like = self.layer.readout(inner)
        return AttentiveState(
            inner,
            memory=self.ops.zeros(like, rows, 0, self.memory_size),
            keys=self.ops.zeros(like, rows, 0, self.key_size),
            length=self.ops.zero_lengths(like, rows),
            weights=self.ops.zeros(like, rows, 0),
            last_output=self.ops.zeros(like, rows, self.output_size),
        )


class CrossAttentionState(NamedTuple):
    keys: Any  # [B, S, H], of the memory's items
    values: Any  # [B, S, H]
    length: Any  # [B], of the memory
    weights: Any  # [B, S], attention weights of the last step, the mean over the heads
    h: Any  # [B, H], the last output


@definition("cross_attention")
@dataclass(eq=False, repr=False)
class CrossAttention(MemoryAttentionDefinition):
    """See `stepscan.CrossAttention`."""

    size: Size
    memory_size: Size
    heads: int = 0
    dropout: Probability = 0.0

    condition_size = 0

    def derive(self) -> None:
        self.input_size = self.output_size = self.size
        self.heads = choose_heads(self.size, self.heads)

    def parts(self) -> dict[str, Part | None]:
        size = self.size
        return {
            "norm": Norm(size),
            "of_query": Linear(size, size),
            "of_memory": Linear(self.memory_size, 2 * size),
            "output": Linear(size, size),
        }

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> CrossAttentionState:
        """The initial state, with an empty memory."""
        like = self.zeros(batch_size, self.size, device, dtype)
        empty = self.ops.zeros(like, batch_size, 0, self.size)
        length = self.ops.zero_lengths(like, batch_size)
        return CrossAttentionState(empty, self.ops.copy(empty), length, self.ops.zeros(like, batch_size, 0), like)

    def condition(self, vector: Any) -> CrossAttentionState:
        """The initial state; the vector is empty."""
        self.check_condition(vector)
        return self.initial_state(len(vector), device=vector.device, dtype=vector.dtype)

    def set_memory(self, state: CrossAttentionState, memory: Any) -> CrossAttentionState:
        data = memory.zeroed().data
        both = self.of_memory(data)
        keys, values = self.ops.copy(both[:, :, : self.size]), self.ops.copy(both[:, :, self.size :])
        weights = self.ops.zeros(data, *data.shape[:2])
        return CrossAttentionState(keys, values, memory.lengths, weights, state.h)

    def step(self, x: Any, state: CrossAttentionState) -> tuple[Any, CrossAttentionState]:
        """See `stepscan.Recurrence.step`."""
        y, weights = self._attend(x[:, None], state)
        return y[:, 0], state._replace(weights=weights[:, 0], h=y[:, 0])

    def scan(self, inputs: Any, state: State | None = None) -> tuple[Any, State]:
        inputs = self.check_input(inputs)
        state = start(self, inputs, state)
        y, weights = self._attend(inputs.data, state)
        outputs = inputs.replace(y).zeroed()
        weights = inputs.replace(weights).last(default=state.weights)
        return outputs, state._replace(weights=weights, h=outputs.last(default=state.h))

    def readout(self, state: CrossAttentionState) -> Any:
        return state.h

    def _attend(self, x: Any, state: CrossAttentionState) -> tuple[Any, Any]:
        """`x [B, T, H]` → outputs `[B, T, H]` and attention weights `[B, T, S]`, the mean over the heads."""
        ops, heads = self.ops, self.heads
        queries = self.of_query(self.norm(x)) * (self.size // heads) ** -0.5
        q, k, v = (ops.split_heads(part, heads) for part in (queries, state.keys, state.values))
        context, weights = ops.attend(q, k, v, ops.repeat(state.length, heads), None)
        y = self.output(ops.join_heads(context, heads))
        mean = weights.reshape(len(x), heads, *weights.shape[1:]).mean(1)
        return x + self.apply_dropout(y, self.dropout), mean
