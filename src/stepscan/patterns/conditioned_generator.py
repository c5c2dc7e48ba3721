"""Conditioned generator (encoder-decoder), an unfold after a fold: sequence → a different sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stepscan.contract import Layer
from stepscan.kernels.pointwise import Linear
from stepscan.patterns.attention import attention_weights, memory_attentions, set_memory
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.generator import Generator
from stepscan.patterns.loss import Loss
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


@register("conditioned_generator")
class ConditionedGenerator(nn.Module):
    """A generator whose initial state is computed by an encoder (Sutskever et al. 2014; Cho et al. 2014).

    A learned linear map, the bridge, maps the encoder's readout to the decoder's initial state. The outputs of the
    encoder are the memory of the decoder's attention (`AttentiveDecoder`, `CrossAttention`), if it has any.

    Args:
        embedding: ids of the source → vectors; None for the generator's embedding.
        encoder: any Layer.
        generator: a `Generator` over any Recurrence, with initial state `zero`.

    Raises:
        ValueError: the memory size of the decoder's attention is not the encoder's output size, or the generator has a
            learned initial state.
    """

    def __init__(self, embedding: Embedding | None, encoder: Layer, generator: Generator) -> None:
        super().__init__()
        for attention in memory_attentions(generator.layer):
            if attention.memory_size != encoder.output_size:
                raise ValueError(
                    f"memory_size: expected {encoder.output_size}, the output size of the encoder {encoder.signature}, "
                    f"got {attention.memory_size}"
                )
        if generator.start is not None:
            raise ValueError("initial: expected 'zero' for a generator with an encoder, got 'learned'")
        self.embedding, self.encoder, self.generator = embedding, encoder, generator
        self.bridge = Linear(encoder.output_size, generator.layer.condition_size)

    def initial_state(self, source: Sequences) -> State:
        """Encodes the source, ids `[B, S]` → the decoder's initial state."""
        embed = self.generator.embedding if self.embedding is None else self.embedding
        outputs, final = self.encoder(embed(source))
        layer = self.generator.layer
        state = layer.condition(self.bridge(self.encoder.readout(final)))
        return set_memory(layer, state, outputs)

    def forward(self, source: Sequences, inputs: Sequences) -> tuple[Sequences, State]:
        """Ids of source `[B, S]` and target `[B, T]` → logits of the next symbols `[B, T, V]`, and the final state."""
        return self.generator(inputs, self.initial_state(source))

    def loss(self, inputs: tuple[Sequences, Sequences], targets: Sequences, state: None = None) -> Loss:
        """Cross-entropy of `targets [B, T]` with teacher forcing; `inputs` are the source and the shifted target."""
        source, previous = inputs
        total, count, _ = self.generator.loss(previous, targets, self.initial_state(source))
        return Loss(total, count)

    @torch.inference_mode()
    def attention(self, source: Sequences, inputs: Sequences) -> Tensor:
        """The decoder's attention weights `[B, T, S]`, the mean over its attention layers.

        Raises:
            TypeError: the decoder has no attention.
        """
        if not memory_attentions(self.generator.layer):
            raise TypeError("expected a model with attention, got one without; train it with attention='additive'")
        state = self.initial_state(source)
        weights = []
        for t in range(inputs.steps):
            _, state = self.generator.step(inputs.data[:, t], state)
            weights.append(torch.stack(attention_weights(state)).mean(dim=0))
        return torch.stack(weights, dim=1)
