"""The layer of a generator, which may look at a memory, by itself or in a stack; and the parts of it that do."""

from __future__ import annotations

from typing import Any

import numpy as np

from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.layers import Layer, described_object
from stepscan.runtime.networks.attentive_decoder import AttentiveDecoder, AttentiveState
from stepscan.runtime.networks.tensors import Tensors, build_part
from stepscan.state import State


class AttentiveStack:
    """Causal layers in a row, of which one or more look at a memory; its state is the tuple of theirs.

    Args:
        tensors: of its parts, `layers.0` and so on.
        layers: described; each takes the width that the one below it gives.
    """

    causal = True

    def __init__(self, tensors: Tensors, layers: list[Any]) -> None:
        self.layers = [build_decoder(one, tensors, f"layers.{place}") for place, one in enumerate(layers)]
        self.input_size: int = self.layers[0].input_size
        self.output_size: int = self.layers[-1].output_size
        self.condition_size: int = sum(layer.condition_size for layer in self.layers)
        self.signature = f"Stack({self.input_size} → {self.output_size})"

    def initial_state(self, rows: int) -> State:
        """The state of so many rows before anything was seen."""
        return tuple(layer.initial_state(rows) for layer in self.layers)

    def condition(self, vector: Array) -> State:
        """`[n, condition_size]` → an initial state; each layer has its part of the vector."""
        ends = np.cumsum([layer.condition_size for layer in self.layers])
        pieces = np.split(vector, ends[:-1], axis=1)
        return tuple(layer.condition(piece) for layer, piece in zip(self.layers, pieces, strict=True))

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """One item of each row: `x [n, I]` and a state → `[n, O]` and the next state."""
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
    """The causal layer that is described, part `name` of the tensors.

    Raises:
        SettingsError: the layer, or one of its parts, is not causal.
    """
    kind, _ = described_object(description)
    if kind == "attentive_decoder":
        return build_part({kind: AttentiveDecoder}, description, tensors.inside(name))
    if _looks_within(description):
        return AttentiveStack(tensors.inside(name), _parts(description))
    layer = tensors.layer(name, description)
    layer.check_causal()
    return layer


def _looks_within(description: Any) -> bool:
    kind, _ = described_object(description)
    return kind == "attentive_decoder" or any(_looks_within(part) for part in _parts(description))


def _parts(description: Any) -> list[Any]:
    """What is stacked, if the description is of a stack."""
    kind, arguments = described_object(description)
    if kind != "stack":
        return []
    return arguments["layers"] if isinstance(arguments, dict) else arguments


def memory_attentions(layer: Decoder) -> list[AttentiveDecoder]:
    """The parts of a layer that look at a memory."""
    if isinstance(layer, AttentiveStack):
        return [part for one in layer.layers for part in memory_attentions(one)]
    return [layer] if isinstance(layer, AttentiveDecoder) else []


def set_memory(layer: Decoder, state: State, memory: Batch) -> State:
    """The layer's state with something to look at, in each part of it that looks."""
    if isinstance(layer, AttentiveStack):
        return tuple(set_memory(part, own, memory) for part, own in zip(layer.layers, state, strict=True))
    return layer.set_memory(state, memory) if isinstance(layer, AttentiveDecoder) else state


def attention_weights(state: State) -> list[Array]:
    """Where each attentive part looked in its last step, `[B, S]`."""
    if isinstance(state, AttentiveState):
        return [state.weights]
    return [one for part in state for one in attention_weights(part)] if isinstance(state, tuple) else []
