"""The layer of a generator: a native layer, an attentive decoder, or a stack with attentive decoders."""

from __future__ import annotations

from typing import Any

import numpy as np

from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.layer_factory import described_object
from stepscan.runtime.layers import Layer
from stepscan.runtime.networks.attentive_decoder import AttentiveDecoder, AttentiveState
from stepscan.runtime.networks.tensors import Tensors, build_module
from stepscan.state import State


class AttentiveStack:
    """Causal layers in sequence, of which one or more attend to a memory; its state is the tuple of theirs.

    Args:
        tensors: its tensors, `layers.0` and so on.
        layers: descriptions; the input size of each layer is the output size of the previous one.
    """

    causal = True

    def __init__(self, tensors: Tensors, layers: list[Any]) -> None:
        self.layers = [build_decoder(layer, tensors, f"layers.{index}") for index, layer in enumerate(layers)]
        self.input_size: int = self.layers[0].input_size
        self.output_size: int = self.layers[-1].output_size
        self.condition_size: int = sum(layer.condition_size for layer in self.layers)
        self.signature = f"Stack({self.input_size} → {self.output_size})"

    def initial_state(self, rows: int) -> State:
        """The state of this number of rows before the first item."""
        return tuple(layer.initial_state(rows) for layer in self.layers)

    def condition(self, vector: Array) -> State:
        """`[n, condition_size]` → an initial state; each layer gets its slice of the vector."""
        ends = np.cumsum([layer.condition_size for layer in self.layers])
        pieces = np.split(vector, ends[:-1], axis=1)
        return tuple(layer.condition(piece) for layer, piece in zip(self.layers, pieces, strict=True))

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """One item per row: `x [n, I]` and a state → `[n, O]` and the next state."""
        states = []
        for layer, old in zip(self.layers, state, strict=True):
            x, new = layer.step(x, old)
            states.append(new)
        return x, tuple(states)

    def scan(self, data: Array, lengths: Array, state: State | None = None) -> tuple[Array, State]:
        """Whole sequences: `[B, T, I]` of `lengths [B]` → `[B, T, O]`, zero in the padding, and the final state."""
        states = []
        for layer, old in zip(self.layers, self.initial_state(len(data)) if state is None else state, strict=True):
            data, new = layer.scan(data, lengths, old)
            states.append(new)
        return data, tuple(states)


Decoder = Layer | AttentiveDecoder | AttentiveStack


def build_decoder(description: Any, tensors: Tensors, name: str) -> Decoder:
    """The causal layer with this description and the tensors under `name`.

    Raises:
        SettingsError: the layer is not causal.
    """
    kind, _ = described_object(description)
    if kind == "attentive_decoder":
        return build_module({kind: AttentiveDecoder}, description, tensors.scope(name))
    if _has_attention(description):
        return AttentiveStack(tensors.scope(name), _stacked(description))
    layer = tensors.layer(name, description)
    layer.check_causal()
    return layer


def _has_attention(description: Any) -> bool:
    kind, _ = described_object(description)
    return kind == "attentive_decoder" or any(_has_attention(layer) for layer in _stacked(description))


def _stacked(description: Any) -> list[Any]:
    """The descriptions of the layers of a stack; none for another layer."""
    kind, arguments = described_object(description)
    if kind != "stack":
        return []
    return arguments["layers"] if isinstance(arguments, dict) else arguments


def memory_attentions(layer: Decoder) -> list[AttentiveDecoder]:
    """The layer itself, or the layers of a stack, that attend to a memory."""
    if isinstance(layer, AttentiveStack):
        return [attention for stacked in layer.layers for attention in memory_attentions(stacked)]
    return [layer] if isinstance(layer, AttentiveDecoder) else []


def set_memory(layer: Decoder, state: State, memory: Batch) -> State:
    """The state of a layer with this memory `[B, S, M]`, in a stack that of each layer which attends to one."""
    if isinstance(layer, AttentiveStack):
        return tuple(set_memory(*pair, memory) for pair in zip(layer.layers, state, strict=True))
    return layer.set_memory(state, memory) if isinstance(layer, AttentiveDecoder) else state


def attention_weights(state: State) -> list[Array]:
    """The attention weights of the last step `[B, S]`, of each attentive decoder in a layer with this state."""
    if isinstance(state, AttentiveState):
        return [state.weights]
    if not isinstance(state, tuple):
        return []
    return [weights for field in state for weights in attention_weights(field)]
