"""Conditioned generator (encoder-decoder), an unfold after a fold: sequence → a different sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.errors import ModelFormatError
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.networks.decoder import attention_weights, memory_attentions, set_memory
from stepscan.runtime.networks.embedding import SYMBOLS, Embedding
from stepscan.runtime.networks.generator import Generator
from stepscan.runtime.networks.tensors import Tensors, build_module
from stepscan.state import State


class ConditionedGenerator:
    """A generator whose initial state is computed by an encoder (Sutskever et al. 2014; Cho et al. 2014).

    Args:
        tensors: its tensors.
        embedding: description of the embedding of source ids; None for the generator's.
        encoder: description of any layer.
        generator: its description.

    Raises:
        ModelFormatError: the parts do not fit together.
    """

    def __init__(self, tensors: Tensors, embedding: Any, encoder: Any, generator: Any) -> None:
        self.generator: Generator = build_module({"generator": Generator}, generator, tensors.scope("generator"))
        self.embedding: Embedding = (
            self.generator.embedding
            if embedding is None
            else build_module(SYMBOLS, embedding, tensors.scope("embedding"))
        )
        self.encoder = tensors.layer("encoder", encoder)
        for attention in memory_attentions(self.generator.layer):
            if attention.memory_size != self.encoder.output_size:
                raise ModelFormatError(
                    f"memory_size: expected {self.encoder.output_size}, the output size of the encoder "
                    f"{self.encoder.signature}, got {attention.memory_size}"
                )
        if self.generator.start is not None:
            raise ModelFormatError(
                "initial: expected 'zero', since the encoder computes the initial state, got 'learned'"
            )
        self.bridge = tensors.linear("bridge", self.encoder.output_size, self.generator.layer.condition_size)

    def initial_state(self, source: Batch | Sequence[Any]) -> State:
        """Encodes the source, rows of ids or a batch `[B, S]` of them → the decoder's initial state."""
        vectors, lengths = self.embedding(source)
        outputs, final = self.encoder.scan(vectors, lengths)
        layer = self.generator.layer
        state = layer.condition(self.bridge(self.encoder.readout(final)))
        return set_memory(layer, state, Batch(outputs, lengths))

    def attention_weights(self, state: State) -> Array | None:
        """The attention weights of the last step `[N, S]`, the mean over all attention layers; None without any."""
        weights = attention_weights(state)
        return np.mean(weights, axis=0) if weights else None
