"""Conditioned generator (encoder-decoder), the unfold after a fold: sequence → a different sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.errors import ModelFormatError
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.networks.decoder import attention_weights, memory_attentions, set_memory
from stepscan.runtime.networks.embedding import SYMBOLS, Embedding
from stepscan.runtime.networks.generator import Generator
from stepscan.runtime.networks.tensors import Tensors, build_part
from stepscan.state import State


class ConditionedGenerator:
    """A generator whose initial state an encoder makes (Sutskever et al. 2014; Cho et al. 2014).

    Args:
        tensors: of its parts.
        embedding: the source's ids → vectors, described; None shares the generator's embedding.
        encoder: any layer, described.
        generator: described.
    """

    def __init__(self, tensors: Tensors, embedding: Any, encoder: Any, generator: Any) -> None:
        self.generator: Generator = build_part({"generator": Generator}, generator, tensors.inside("generator"))
        self.embedding: Embedding = (
            self.generator.embedding
            if embedding is None
            else build_part(SYMBOLS, embedding, tensors.inside("embedding"))
        )
        self.encoder = tensors.layer("encoder", encoder)
        for part in memory_attentions(self.generator.layer):
            if part.memory_size != self.encoder.output_size:
                raise ModelFormatError(
                    f"the decoder looks at items of {part.memory_size} numbers, but {self.encoder.signature} "
                    f"gives {self.encoder.output_size}"
                )
        if self.generator.start is not None:
            raise ModelFormatError("the encoder makes the initial state, so the generator's must be 'zero'")
        self.bridge = tensors.linear("bridge", self.encoder.output_size, self.generator.layer.condition_size)

    def initial_state(self, source: Batch | Sequence[Any]) -> State:
        """Read the source, rows of ids or a batch `[B, S]` of them, and make of it the state where decoding begins."""
        vectors, lengths = self.embedding(source)
        outputs, final = self.encoder.scan(vectors, lengths)
        layer = self.generator.layer
        state = layer.condition(self.bridge(self.encoder.readout(final)))
        return set_memory(layer, state, Batch(outputs, lengths))

    def attention_weights(self, state: State) -> Array | None:
        """Where the decoder looked in its last step, `[N, S]`: the mean of its parts that look; None without any."""
        found = attention_weights(state)
        return np.mean(found, axis=0) if found else None
