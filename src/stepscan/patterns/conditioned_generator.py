"""Conditioned generator (encoder-decoder), an unfold after a fold: sequence → a different sequence."""

from __future__ import annotations

from typing import Any

from stepscan.definitions import conditioned_generator as definitions
from stepscan.modules import Module
from stepscan.patterns.loss import Loss
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State, map_state


@register("conditioned_generator")
class ConditionedGenerator(definitions.ConditionedGenerator, Module):
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

    def initial_state(self, source: Any) -> State:
        """Encodes the source, a batch of ids `[B, S]` → the decoder's initial state, in the dtype of the weights, even
        where autocast computes in another."""
        dtype = self.bridge.weight.dtype
        state = super().initial_state(source)
        return map_state(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, state)

    def loss(self, inputs: tuple[Sequences, Sequences], targets: Sequences, state: None = None) -> Loss:
        """Cross-entropy of `targets [B, T]` with teacher forcing; `inputs` are the source and the shifted target."""
        source, previous = inputs
        total, count, _ = self.generator.loss(previous, targets, self.initial_state(source))
        return Loss(total, count)
