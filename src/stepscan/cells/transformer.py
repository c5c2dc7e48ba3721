"""The transformer block (Vaswani et al. 2017), pre-norm (Xiong et al. 2020), as a recurrence whose state is its cache.

u_t = W_in x_t                                    only if I ≠ H
q_t, k_t, v_t = W [norm(u_t)] + b                 q and k rotated by their position (RoPE, Su et al. 2021)
a_t = Σ_s softmax_s(q_t · k_s / √d) v_s           per head; s from t − context + 1 to t
z_t = u_t + W_o a_t + b_o
y_t = z_t + W_2 gelu(W_1 norm(z_t) + b_1) + b_2

In inference on a CPU it runs on the native kernels: the same bits for steps, scans, a row alone and in a batch.

The state holds the keys and values of the last `context` items (sliding-window attention, Beltagy et al. 2020), so that
streaming needs bounded time and memory. `BidirectionalTransformer` is the same block without a causal mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stepscan.contract import Layer, Recurrence
from stepscan.definitions import transformer as definitions
from stepscan.definitions.layer import start
from stepscan.kernels import attention
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


class TransformerState(NamedTuple):
    h: Tensor  # [B, H], the last output
    keys: Tensor  # [B, C, H], of the item at position p at index p mod context; zeros past the length
    values: Tensor  # [B, C, H], likewise
    length: Tensor  # [B], items read so far


class BidirectionalTransformerState(NamedTuple):
    h: Tensor  # [B, H], the output at the last item


class TransformerBlock(Layer):
    """The base class of the causal and the bidirectional block: everything except the mask."""

    heads: int
    dropout: float

    def project(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`x [B, T, I]` at `positions [B, T]` → the residual stream u, and q, k, v, all `[B, T, H]`."""
        u = x if self.into is None else self.into(x)
        q, k, v = self.projection(self.attention_norm(u)).chunk(3, dim=2)
        return u, rotate(q, positions, self.heads), rotate(k, positions, self.heads), v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Queries `[B, T, H]`, keys and values `[B, S, H]`, mask `[B, T, S]` or None for causal → `[B, T, H]`."""
        q, k, v = (x.unflatten(2, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        head_mask = None if mask is None else mask[:, None]
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=head_mask, is_causal=mask is None)
        return context.transpose(1, 2).flatten(2)

    def feed_forward(self, u: Tensor, attended: Tensor) -> Tensor:
        """The residual stream and the output of attention, both `[B, T, H]` → the block's output `[B, T, H]`."""
        z = u + self.apply_dropout(self.output(attended), self.dropout)
        return z + self.apply_dropout(self.down(F.gelu(self.up(self.forward_norm(z)))), self.dropout)


@register("bidirectional_transformer")
class BidirectionalTransformer(definitions.BidirectionalTransformer, TransformerBlock):
    """The block in which every item attends to all items of its sequence; it is not causal, so not a `Recurrence`.

    Args:
        input_size: I.
        hidden_size: H.
        heads: attention heads, a divisor of H; 0 for the most heads of size 32 or more.
        dropout: probability for the outputs of attention and of the feed-forward network in training.

    Raises:
        ValueError: an argument is out of range, or `heads` does not divide H.
    """

    bidirectional_class: ClassVar[type[Layer]]

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, BidirectionalTransformerState]:
        initial = inputs.data.new_zeros(inputs.data.shape[0], self.output_size) if state is None else state.h
        if attention.is_supported(self, inputs.data):
            self.check_shape(inputs)
            y, last = attention.scan_all(self, inputs, initial)
            return inputs.replace(y, zeroed=True), BidirectionalTransformerState(last)
        inputs = self.check_input(inputs)
        if inputs.steps == 0:
            empty = inputs.data.new_zeros(inputs.data.shape[0], 0, self.output_size)
            return inputs.replace(empty, zeroed=True), BidirectionalTransformerState(initial)
        positions = torch.arange(inputs.steps, device=inputs.data.device)
        u, q, k, v = self.project(inputs.data, positions.expand(inputs.data.shape[0], -1))
        mask = inputs.mask | (positions == 0)  # a row of length 0 needs one position, or softmax is NaN
        outputs = inputs.replace(self.feed_forward(u, self.attend(q, k, v, mask[:, None]))).zeroed()
        return outputs, BidirectionalTransformerState(outputs.last(default=initial))


BidirectionalTransformer.bidirectional_class = BidirectionalTransformer


@register("transformer")
class Transformer(definitions.Transformer, TransformerBlock, Recurrence):
    """A causal transformer block: multi-head self-attention over the last `context` items, then a feed-forward network.

    Args:
        input_size: I.
        hidden_size: H.
        heads: attention heads, a divisor of H; 0 for the most heads of size 32 or more.
        context: the number of items that an item attends to, including itself.
        dropout: probability for the outputs of attention and of the feed-forward network in training.

    Raises:
        ValueError: an argument is out of range, or `heads` does not divide H.
    """

    # used in bidirectional models, in place of a Bidirectional of two
    bidirectional_class: ClassVar[type[Layer]] = BidirectionalTransformer

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> TransformerState:
        h = self.zeros(batch_size, self.output_size, device, dtype)
        empty = h.new_zeros(batch_size, 0, self.output_size)
        return TransformerState(h, empty, empty, torch.zeros(batch_size, dtype=torch.long, device=h.device))

    def step(self, x: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        if attention.is_supported(self, x):
            return attention.step(self, x, state)
        y, state = self._advance(x[:, None], torch.ones_like(state.length), state)
        return y[:, 0], state._replace(h=y[:, 0])

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        state = start(self, inputs, state)
        if attention.is_supported(self, inputs.data):
            self.check_shape(inputs)
            y, state = attention.scan(self, inputs, state)
            return inputs.replace(y, zeroed=True), state
        inputs = self.check_input(inputs)
        outputs = [inputs.data.new_zeros(inputs.data.shape[0], 0, self.output_size)]
        for chunk in self._chunks(inputs):
            y, new = self._advance(chunk.data, chunk.lengths, state)
            chunk_outputs = chunk.replace(y).zeroed()
            outputs.append(chunk_outputs.data)
            state = new._replace(h=chunk_outputs.last(default=state.h))
        return inputs.replace(torch.cat(outputs, dim=1), zeroed=True), state

    def condition(self, vector: Tensor) -> TransformerState:
        """The state after `vector [B, I]` as the first item."""
        self.check_condition(vector)
        return self.step(vector, self.initial_state(len(vector), device=vector.device, dtype=vector.dtype))[1]

    def capacity(self, capacity: int, lengths: Tensor) -> int:
        """The capacity of a cache of `capacity` items that must hold `lengths [B]` items: doubled as often as needed,
        at most the context."""
        longest = min(int(lengths.max()) if len(lengths) else 0, self.context)
        while capacity < longest:
            capacity = min(max(1, 2 * capacity), self.context)
        return capacity

    def _chunks(self, inputs: Sequences) -> Iterator[Sequences]:
        """Consecutive chunks of at most `context` steps, so that attention computes O(T · context) pairs of items."""
        if inputs.steps <= self.context:
            yield from [inputs] if inputs.steps else []
            return
        for first in range(0, inputs.steps, self.context):
            data = inputs.data[:, first : first + self.context]
            yield Sequences(data, (inputs.lengths - first).clamp(0, data.shape[1]))

    def _advance(self, x: Tensor, lengths: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        """Items `x [B, T, I]` with `lengths [B]`, after a state → outputs `[B, T, H]` and the next state."""
        steps = torch.arange(x.shape[1], device=x.device)
        positions = state.length[:, None] + steps
        u, q, k, v = self.project(x, positions)
        if state.keys.shape[1] == 0 and x.shape[1] <= self.context:
            attended = self.attend(q, k, v, None)
        else:
            cached = self._cached_positions(state.length, state.keys.shape[1])[:, None]  # [B, 1, C]
            cache_mask = (cached >= 0) & (cached > positions[:, :, None] - self.context)
            lag = steps[:, None] - steps
            new_mask = ((lag >= 0) & (lag < self.context)).expand(len(x), -1, -1)
            keys, values = torch.cat([state.keys, k], dim=1), torch.cat([state.values, v], dim=1)
            attended = self.attend(q, keys, values, torch.cat([cache_mask, new_mask], dim=2))
        return self.feed_forward(u, attended), self._extend_cache(k, v, lengths, state)

    def _cached_positions(self, length: Tensor, capacity: int) -> Tensor:
        """The position of each item in the cache after `length [B]` items, `[B, C]`; negative where there is none."""
        last = length[:, None] - 1
        return last - (last - torch.arange(capacity, device=length.device)) % self.context

    def _extend_cache(self, k: Tensor, v: Tensor, lengths: Tensor, state: TransformerState) -> TransformerState:
        """The state with new keys and values `[B, T, H]`; the capacity doubles as needed, up to the context."""
        total, capacity = state.length + lengths, state.keys.shape[1]
        if torch.compiler.is_compiling():  # a graph is for all lengths
            capacity = min(capacity + k.shape[1], self.context)
        else:
            capacity = self.capacity(capacity, total)
        cached = self._cached_positions(total, capacity)
        is_new = (cached >= state.length[:, None])[:, :, None]
        index = (cached - state.length[:, None]).clamp(0, k.shape[1] - 1)[:, :, None].expand(-1, -1, k.shape[2])

        def extended(cache: Tensor, new: Tensor) -> Tensor:
            return torch.where(is_new, new.gather(1, index), F.pad(cache, (0, 0, 0, capacity - cache.shape[1])))

        return TransformerState(state.h, extended(state.keys, k), extended(state.values, v), total)


def rotate(x: Tensor, positions: Tensor, heads: int) -> Tensor:
    """RoPE (Su et al. 2021, eq. 34): rotates pairs of elements of each head by angles proportional to the position.

    Args:
        x: `[B, T, H]`.
        positions: `[B, T]`.
        heads: the number of heads that H is divided into; the last element of a head of odd size is not rotated.

    Returns:
        `[B, T, H]`. The dot product of two rotated vectors depends only on the difference of their positions.
    """
    x_heads = x.unflatten(2, (heads, -1))
    half = x_heads.shape[3] // 2
    rates = 10000.0 ** (-torch.arange(half, device=x.device, dtype=torch.float64) / max(half, 1))
    angles = (positions.to(torch.float64)[:, :, None] * rates)[:, :, None]  # [B, T, 1, d/2]; float64 for late positions
    first, second, rest = x_heads.split([half, half, x_heads.shape[3] - 2 * half], dim=3)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([first * cos - second * sin, first * sin + second * cos, rest], dim=3).flatten(2)
