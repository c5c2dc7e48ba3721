"""The law registry: every layer in `LAWFUL` is held to every law. A new cell joins by one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

import stepscan as ss
from stepscan.definitions.attention import AttentiveState, CrossAttentionState
from zoo import CELLS, STEPS, VARIANTS


class Remembering(ss.AttentiveDecoder):
    """An attentive decoder with a fixed random memory in its initial state, as an encoder would put it there."""

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> AttentiveState:
        return with_memory(self, super().initial_state(batch_size, device=device, dtype=dtype))


class Looking(ss.CrossAttention):
    """Cross attention with the same memory."""

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> CrossAttentionState:
        return with_memory(self, super().initial_state(batch_size, device=device, dtype=dtype))


def with_memory(layer: Any, state: Any) -> Any:
    """A state of the layer with a fixed random memory of three items; the first row has nothing to look at."""
    batch_size, items = len(state.length), 3
    random = torch.Generator().manual_seed(5)
    one = torch.randn(items, layer.memory_size, generator=random, dtype=torch.float64)
    memory = one.to(next(layer.parameters()).dtype).expand(batch_size, -1, -1)
    return layer.set_memory(state, ss.Sequences(memory, torch.arange(batch_size) % (items + 1)))


class RunningMean(ss.Recurrence):
    """A user's own cell in ten lines: a bare tensor for a state, and only `initial_state` and `step` written."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.input_size = self.output_size = size
        self.decay_ratio = torch.nn.Parameter(torch.full((size,), 0.6))

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        return self.zeros(batch_size, self.output_size, device, dtype)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.decay_ratio * state + (1 - self.decay_ratio) * x
        return mean, mean


LAWFUL: dict[str, Callable[[], ss.Layer]] = {
    **{name: lambda cell=cell: cell(3, 2) for name, cell in {**VARIANTS, **STEPS}.items()},  # type: ignore[misc]
    "sru, equal sizes": lambda: ss.SRU(2, 2),
    "rglru, equal sizes, two heads": lambda: ss.RGLRU(4, 4, heads=2),
    "slstm, two heads": lambda: ss.SLSTM(3, 4, heads=2),
    "causal convolution": lambda: ss.CausalConvolution(3),
    "mixer block": lambda: ss.MixerBlock(4, ss.RGLRU(3, 4, heads=2)),
    "stack of mixer blocks": lambda: ss.Stack(
        [ss.MixerBlock(4, ss.Stack([ss.GRU(4, 3), ss.VariationalDropout(3, 0.5)])), ss.LayerNorm(4)]
    ),
    "bidirectional mixer blocks": lambda: ss.Bidirectional(
        ss.MixerBlock(4, ss.LSTM(3, 2)), ss.MixerBlock(4, ss.MinGRU(4, 4))
    ),
    # Eight numbers wide: the derivative of a norm over two is as large as you like.
    "transformer": lambda: ss.Transformer(3, 8),
    "transformer, two heads": lambda: ss.Transformer(8, 8, heads=2),
    "transformer, odd heads, short context": lambda: ss.Transformer(3, 9, heads=3, context=3),
    "transformer, context of one": lambda: ss.Transformer(8, 8, context=1),
    "bidirectional transformer": lambda: ss.BidirectionalTransformer(3, 8, heads=2),
    "stack of transformers": lambda: ss.Stack(
        [ss.Transformer(3, 8), ss.LSTM(8, 8), ss.Transformer(8, 8), ss.LayerNorm(8)]
    ),
    "attentive decoder over a transformer": lambda: Remembering(ss.Transformer(3, 8), 2, 2),
    "attentive decoder over a transformer, input feeding": lambda: Remembering(
        ss.Transformer(11, 8), 2, 3, input_feeding=True
    ),
    "linear": lambda: ss.Linear(3, 2),
    "layer norm": lambda: ss.LayerNorm(4),
    "dropout": lambda: ss.Dropout(3, 0.5),
    "variational dropout": lambda: ss.VariationalDropout(3, 0.5),
    "zoneout": lambda: ss.Zoneout(ss.LSTM(3, 2), 0.3),
    "weight drop": lambda: ss.WeightDrop(ss.GRU(3, 2), 0.5),
    "weight drop of zoneout": lambda: ss.WeightDrop(ss.Zoneout(ss.Elman(3, 2), 0.2), 0.5),
    "a user's own cell": lambda: RunningMean(3),
    "attentive decoder": lambda: ss.AttentiveDecoder(ss.GRU(3, 2), 2, 3),
    "attentive decoder, input feeding": lambda: ss.AttentiveDecoder(ss.LSTM(5, 2), 2, 3, input_feeding=True),
    "attentive decoder with a memory": lambda: Remembering(ss.LSTM(3, 2), 2, 3),
    "attentive decoder with a memory, input feeding": lambda: Remembering(ss.GRU(5, 2), 2, 3, input_feeding=True),
    "cross attention": lambda: ss.CrossAttention(4, 3),
    "cross attention with a memory": lambda: Looking(4, 3, heads=2),
    "transformer with cross attention": lambda: ss.Stack(
        [ss.Transformer(3, 4, heads=2), Looking(4, 3, heads=2), ss.LayerNorm(4)]
    ),
    "attentive decoder, dot": lambda: Remembering(ss.GRU(3, 2), 2, 1, kind="dot"),
    "attentive decoder, general": lambda: Remembering(ss.LSTM(5, 2), 3, 1, input_feeding=True, kind="general"),
    "stack": lambda: ss.Stack([ss.LSTM(3, 2), ss.Dropout(2, 0.5), ss.GRU(2, 2)]),
    "stack with pointwise layers on top": lambda: ss.Stack(
        [ss.Elman(3, 2), ss.VariationalDropout(2, 0.5), ss.LayerNorm(2), ss.Linear(2, 3)]
    ),
    "residual": lambda: ss.Residual(ss.LSTM(2, 2)),
    "residual of pointwise": lambda: ss.Residual(ss.Linear(2, 2)),
    "bidirectional": lambda: ss.Bidirectional(ss.LSTM(3, 2), ss.GRU(3, 1)),
    "bidirectional of users' cells": lambda: ss.Bidirectional(RunningMean(2), RunningMean(2)),
    "residual of bidirectional": lambda: ss.Residual(ss.Bidirectional(ss.GRU(2, 1), ss.GRU(2, 1))),
    "deep bidirectional": lambda: ss.Stack(
        [
            ss.Bidirectional(ss.LSTM(3, 1), ss.LSTM(3, 1)),
            ss.Dropout(2, 0.5),
            ss.Bidirectional(ss.Elman(2, 1, bias=False), ss.Elman(2, 1, bias=False)),
            ss.Dropout(2, 0.5),
        ]
    ),
    "bidirectional of stacks": lambda: ss.Bidirectional(
        ss.Stack([ss.GRU(2, 2), ss.VariationalDropout(2, 0.5)]), ss.Residual(ss.Elman(2, 2))
    ),
    "attentive decoder over a stack": lambda: Remembering(
        ss.Stack([ss.VariationalDropout(3, 0.5), ss.GRU(3, 2), ss.Residual(ss.LSTM(2, 2))]), 2, 2
    ),
    "stack over an attentive decoder": lambda: ss.Stack([Remembering(ss.GRU(2, 2), 2, 2), ss.LSTM(2, 2)]),
}


def nestings(width: int = 2) -> st.SearchStrategy[ss.Layer]:
    """Any layer of `width` in and out that the combinators can make, at random."""
    cells = st.sampled_from([*CELLS.values(), *STEPS.values(), ss.Linear]).map(lambda cell: cell(width, width))
    widthless = st.sampled_from(
        [ss.LayerNorm, RunningMean, lambda size: ss.Dropout(size, 0.1), lambda size: ss.VariationalDropout(size, 0.1)]
    ).map(lambda layer: layer(width))

    def nested(inner: st.SearchStrategy[ss.Layer]) -> st.SearchStrategy[ss.Layer]:
        return st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(ss.Stack),
            inner.map(ss.Residual),
            st.builds(both_ways, inner, inner),
        )

    def both_ways(forward: ss.Layer, backward: ss.Layer) -> ss.Layer:
        # A GRU, because a bidirectional layer of nothing but pointwise ones looks at nothing ahead: law 7 objects.
        backward = ss.Stack([backward, ss.GRU(width, width)])
        return ss.Stack([ss.Bidirectional(forward, backward), ss.Linear(2 * width, width)])

    return st.recursive(cells | widthless, nested, max_leaves=4)
