"""The attentive decoder without torch; see `stepscan.patterns.attention`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.networks.attention import build_attention
from stepscan.runtime.networks.tensors import Tensors
from stepscan.runtime.operations import tanh
from stepscan.state import State, map_state


class AttentiveState(NamedTuple):
    inner: State
    memory: Array  # [B, S, M]
    keys: Array  # [B, S, A]; [B, S, H] for dot and general attention
    length: Array  # [B], of the memory
    weights: Array  # [B, S], attention weights of the last step
    last_output: Array  # [B, H]


class AttentiveDecoder:
    """A causal layer whose outputs are combined with the context that attention reads from a memory.

        h_t = layer([x_t ; y_{t−1}])     (without input feeding: layer(x_t))
        c_t = Σ_s softmax_s(score(h_t, m_s)) m_s
        y_t = tanh(W [h_t ; c_t])

    Args:
        tensors: its tensors.
        layer: description of a causal layer.
        memory_size: M, size of an item of the memory.
        attention_size: A, size of the score's hidden layer.
        input_feeding: whether the last output is concatenated to the next input.
        kind: the score: `additive`, `dot` or `general`.
    """

    causal = True

    def __init__(
        self,
        tensors: Tensors,
        layer: Any,
        memory_size: int,
        attention_size: int,
        input_feeding: bool = False,
        kind: str = "additive",
    ) -> None:
        self.layer = tensors.layer("layer", layer)
        self.layer.check_causal()
        self.output_size = size = self.layer.output_size
        self.input_size = self.layer.input_size - (size if input_feeding else 0)
        self.condition_size = self.layer.condition_size
        self.signature = f"AttentiveDecoder({self.input_size} → {size})"
        self.memory_size, self.input_feeding = memory_size, input_feeding
        self.key_size = attention_size if kind == "additive" else size
        self.attention = build_attention(kind, tensors.scope("attention"), size, memory_size, attention_size)
        self.combine = tensors.linear("combine", size + memory_size, size)

    def initial_state(self, rows: int) -> AttentiveState:
        """The state of this number of rows before the first item, with an empty memory."""
        return self._without_memory(self.layer.initial_state(rows), rows)

    def condition(self, vector: Array) -> AttentiveState:
        """`[n, condition_size]` → an initial state, with an empty memory."""
        return self._without_memory(self.layer.condition(vector), len(vector))

    def set_memory(self, state: AttentiveState, memory: Batch) -> AttentiveState:
        """The state with this memory `[B, S, M]`."""
        data, length = memory.zeroed()
        weights = np.zeros(data.shape[:2], np.float32)
        return state._replace(memory=data, keys=self.attention.of_memory(data), length=length, weights=weights)

    def step(self, x: Array, state: AttentiveState) -> tuple[Array, AttentiveState]:
        """One item per row: `x [n, I]` and a state → `[n, H]` and the next state."""
        if self.input_feeding:
            x = np.concatenate([x, state.last_output], axis=1)
        h, inner = self.layer.step(x, state.inner)
        y, weights = self._attend(h[:, None], state)
        return y[:, 0], state._replace(inner=inner, weights=weights[:, 0], last_output=y[:, 0])

    def scan(self, data: Array, lengths: Array, state: AttentiveState | None = None) -> tuple[Array, AttentiveState]:
        """Whole sequences: `[B, T, I]` of `lengths [B]` → `[B, T, H]`, zero in the padding, and the final state."""
        state = self.initial_state(len(data)) if state is None else state
        if self.input_feeding:
            return self._scan_by_steps(Batch(data, lengths), state)
        hidden, inner = self.layer.scan(data, lengths, state.inner)
        y, weights = self._attend(hidden, state)
        outputs, weights = Batch(y, lengths).zeroed(), Batch(weights, lengths).last(state.weights)
        return outputs.data, state._replace(inner=inner, weights=weights, last_output=outputs.last(state.last_output))

    def readout(self, state: AttentiveState) -> Array:
        """The last output, `[n, H]`."""
        return state.last_output

    def _scan_by_steps(self, inputs: Batch, state: AttentiveState) -> tuple[Array, AttentiveState]:
        inputs = inputs.zeroed()
        outputs = np.zeros((*inputs.data.shape[:2], self.output_size), np.float32)
        for t, running in enumerate(inputs.mask.T):
            outputs[:, t], new = self.step(inputs.data[:, t], state)
            state = _keep_old_where_ended(running, new, state)
        return Batch(outputs, inputs.lengths).zeroed().data, state

    def _attend(self, hidden: Array, state: AttentiveState) -> tuple[Array, Array]:
        context, weights = self.attention(hidden, state.keys, state.memory, state.length)
        return tanh(self.combine(np.concatenate([hidden, context], axis=2))), weights

    def _without_memory(self, inner: State, rows: int) -> AttentiveState:
        return AttentiveState(
            inner,
            memory=np.zeros((rows, 0, self.memory_size), np.float32),
            keys=np.zeros((rows, 0, self.key_size), np.float32),
            length=np.zeros(rows, np.int64),
            weights=np.zeros((rows, 0), np.float32),
            last_output=np.zeros((rows, self.output_size), np.float32),
        )


def _keep_old_where_ended(running: Array, new: State, old: State) -> State:
    """`new` in the rows where `running [B]` is true, `old` in the others; unchanged leaves are not copied."""
    return map_state(lambda n, o: n if n is o else np.where(running[:, None], n, o), new, old)
