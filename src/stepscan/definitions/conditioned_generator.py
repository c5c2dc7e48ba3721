"""Definition of `ConditionedGenerator` (encoder-decoder): sequence → a different sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stepscan.backends.batches import Array
from stepscan.definitions.attention import attention_weights
from stepscan.definitions.definition import Linear, Part, definition
from stepscan.definitions.embeddings import Embedding, check_sizes
from stepscan.definitions.generator import Generator
from stepscan.definitions.kinds import AnyLayer
from stepscan.definitions.pattern import PatternDefinition, inference
from stepscan.errors import shown
from stepscan.state import State


@definition("conditioned_generator")
@dataclass(eq=False, repr=False)
class ConditionedGenerator(PatternDefinition):
    """See `stepscan.ConditionedGenerator`."""

    embedding: Any
    encoder: AnyLayer
    generator: Any

    def derive(self) -> None:
        if not isinstance(self.generator, Generator):
            raise TypeError(f"ConditionedGenerator: expected a Generator, got {shown(self.generator)}")
        if not (self.embedding is None or isinstance(self.embedding, Embedding)):
            raise TypeError(f"ConditionedGenerator: expected an Embedding or None, got {shown(self.embedding)}")
        check_sizes(self, self.source_embedding, self.encoder)
        for size in self.generator.layer.memories:
            if size != self.encoder.output_size:
                raise ValueError(
                    f"memory_size: expected {self.encoder.output_size}, the output size of the encoder "
                    f"{self.encoder.signature}, got {size}"
                )
        if self.generator.initial == "learned":
            raise ValueError("initial: expected 'zero' for a generator with an encoder, got 'learned'")

    def parts(self) -> dict[str, Part | None]:
        return {"bridge": Linear(self.encoder.output_size, self.generator.layer.condition_size)}

    @property
    def source_embedding(self) -> Any:
        """The embedding of source ids: its own, or the generator's."""
        return self.generator.embedding if self.embedding is None else self.embedding

    @property
    def vocabularies(self) -> dict[str, int]:
        source = {} if self.embedding is None else {"source_tokenizer": self.embedding.vocabulary_size}
        return {**self.generator.vocabularies, **source}

    def array_batch(self, rows: Any) -> Any:
        return self.source_embedding.array_batch(rows)

    def initial_state(self, source: Any) -> State:
        """Encodes the source, a batch of ids `[B, S]` → the decoder's initial state."""
        outputs, final = self.encoder(self.source_embedding(source))
        layer = self.generator.layer
        state = layer.condition(self.bridge(self.encoder.readout(final)))
        return layer.set_memory(state, outputs)

    def forward(self, source: Any, inputs: Any) -> tuple[Any, State]:
        """Ids of source `[B, S]` and target `[B, T]` → logits of the next symbols `[B, T, V]`, and the final state."""
        return self.generator(inputs, self.initial_state(source))

    @inference
    def encode_rows(self, rows: Any) -> State:
        """Encodes rows of source ids → the decoder's initial state."""
        return self.initial_state(self.batch(rows))

    def attention_weights(self, state: State) -> Array | None:
        """The attention weights of the last step `[B, S]`, the mean over all attention layers; None without any."""
        weights = [self.ops.to_array(layer_weights) for layer_weights in attention_weights(state)]
        return np.mean(weights, axis=0) if weights else None
