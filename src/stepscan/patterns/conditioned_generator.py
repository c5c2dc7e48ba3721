"""Conditioned generator (encoder-decoder), the unfold after a fold: sequence → a different sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stepscan.contract import Layer
from stepscan.kernels.pointwise import Linear
from stepscan.patterns.attention import attend_to, attentive_parts, looks
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.patterns.loss import Loss
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


@register("conditioned_generator")
class ConditionedGenerator(nn.Module):
    """A generator whose initial state an encoder makes (Sutskever et al. 2014; Cho et al. 2014).

    The encoder's readout goes through one learned Linear, the bridge, into the decoder's initial state; if the decoder
    has parts that look (an `AttentiveDecoder`, `CrossAttention`s), that state also holds what they look at: the
    encoder's outputs.

    Args:
        embedding: the source's ids → vectors; None shares the generator's embedding.
        encoder: any Layer.
        generator: a `Generator` over any Recurrence.
    """

    def __init__(self, embedding: Embedding | None, encoder: Layer, generator: Generator) -> None:
        super().__init__()
        for part in attentive_parts(generator.layer):
            if part.memory_size != encoder.output_size:
                raise ValueError(
                    f"the decoder looks at items of {part.memory_size} numbers, but {encoder.described} "
                    f"gives {encoder.output_size}; make memory_size {encoder.output_size}"
                )
        if generator.start is not None:
            raise ValueError("the encoder makes the initial state, so the generator's must be 'zero', not 'learned'")
        self.embedding, self.encoder, self.generator = embedding, encoder, generator
        self.bridge = Linear(encoder.output_size, generator.layer.condition_size)

    def initial_state(self, source: Sequences) -> State:
        """Read the source `[B, S]` and make of it the state in which decoding begins."""
        embed = self.generator.embedding if self.embedding is None else self.embedding
        outputs, final = self.encoder(embed(source))
        layer = self.generator.layer
        state = layer.condition(self.bridge(self.encoder.readout(final)))
        return attend_to(layer, state, outputs)

    def forward(self, source: Sequences, inputs: Sequences) -> tuple[Sequences, State]:
        """Source `[B, S]` and target symbols `[B, T]` → scores of the next symbols `[B, T, V]` and the final state."""
        return self.generator(inputs, self.initial_state(source))

    def loss(self, inputs: tuple[Sequences, Sequences], targets: Sequences, state: None = None) -> Loss:
        """Teacher forcing: `inputs` are the source and the target begun; cross-entropy of `targets [B, T]`."""
        source, previous = inputs
        total, count, _ = self.generator.loss(previous, targets, self.initial_state(source))
        return Loss(total, count)

    @torch.inference_mode()
    def attention(self, source: Sequences, inputs: Sequences) -> Tensor:
        """Where the decoder looked: `[B, T, S]`, the mean of its parts that look."""
        if not attentive_parts(self.generator.layer):
            raise TypeError("this model has no attention to show; train it with attention='additive'")
        state = self.initial_state(source)
        seen = []
        for t in range(inputs.steps):
            _, state = self.generator.step(inputs.data[:, t], state)
            seen.append(torch.stack(looks(state)).mean(dim=0))
        return torch.stack(seen, dim=1)
