"""The transformer block (Vaswani et al. 2017), pre-norm (Xiong et al. 2020), as a recurrence whose state is its cache.

u_t = W_in x_t                                    only where I ≠ H
q_t, k_t, v_t = W [norm(u_t)] + b                 q and k turned by their position (RoPE, Su et al. 2021)
a_t = Σ_s softmax_s(q_t · k_s / √d) v_s           each head; s from t − context + 1 to t
z_t = u_t + W_o a_t + b_o
y_t = z_t + W_2 gelu(W_1 norm(z_t) + b_1) + b_2

In inference on a CPU it runs on the native kernels: the same bits for steps, scans, a row alone and in a batch.

The state holds the keys and values of the last `context` items (a sliding window, Beltagy et al. 2020): streaming takes
bounded time and memory. `BidirectionalTransformer` is the same block without the order of time: it sees all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.contract import Layer, Recurrence
from stepscan.fields import check_probability, heads_for
from stepscan.kernels import attention
from stepscan.noise import dropout
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


class TransformerState(NamedTuple):
    h: Tensor  # [B, H], the last output
    keys: Tensor  # [B, C, H], of the item at position p in place p mod context; zeros past the length
    values: Tensor  # [B, C, H], likewise
    length: Tensor  # [B], items seen


class WholeState(NamedTuple):
    h: Tensor  # [B, H], the output at the last item


class Block(Layer):
    """What the causal block and its non-causal twin share: the weights, and what surrounds attention.

    Args:
        input_size: I.
        hidden_size: H.
        heads: attention heads, a divisor of H; 0 chooses as many as give each at least 32 numbers.
        dropout: probability that a number of attention's or the feed-forward's output is dropped in training.

    Raises:
        ValueError: `heads` does not divide H, or the probability is none.
    """

    def __init__(self, input_size: int, hidden_size: int, heads: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        heads = heads_for(hidden_size, heads)
        check_probability(dropout=dropout)
        self.input_size, self.output_size, self.hidden_size = input_size, hidden_size, hidden_size
        self.heads, self.dropout = heads, dropout
        self.into = nn.Linear(input_size, hidden_size) if input_size != hidden_size else None
        self.attention_norm, self.forward_norm = nn.LayerNorm(hidden_size), nn.LayerNorm(hidden_size)
        self.projection = nn.Linear(hidden_size, 3 * hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size)
        self.up, self.down = nn.Linear(hidden_size, 4 * hidden_size), nn.Linear(4 * hidden_size, hidden_size)

    def before(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`x [B, T, I]` at `positions [B, T]` → the residual stream u, and q, k, v, all `[B, T, H]`."""
        u = x if self.into is None else self.into(x)
        q, k, v = self.projection(self.attention_norm(u)).chunk(3, dim=2)
        return u, rotate(q, positions, self.heads), rotate(k, positions, self.heads), v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Queries `[B, T, H]`, keys and values `[B, S, H]`, mask `[B, T, S]` or None for causal → `[B, T, H]`."""
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        seen = None if mask is None else mask[:, None]
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=mask is None)
        return found.transpose(1, 2).flatten(2)

    def after(self, u: Tensor, attended: Tensor) -> Tensor:
        """The residual stream and what attention found → the block's output, `[B, T, H]`."""
        z = u + dropout(self.output(attended), self.dropout, self.training)
        return z + dropout(self.down(F.gelu(self.up(self.forward_norm(z)))), self.dropout, self.training)


@register("bidirectional_transformer")
class BidirectionalTransformer(Block):
    """The block in which every item sees all items of its sequence; no recurrence, for it has no order of steps."""

    noncausal: ClassVar[type[Layer]]

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, WholeState]:
        before = inputs.data.new_zeros(len(inputs), self.output_size) if state is None else state.h
        if attention.is_supported(self, inputs.data):
            self.check_shape(inputs)
            y, last = attention.scan_all(self, inputs, before)
            return inputs.replace(y, zeroed=True), WholeState(last)
        inputs = self.check_input(inputs)
        if inputs.steps == 0:
            nothing = inputs.data.new_zeros(len(inputs), 0, self.output_size)
            return inputs.replace(nothing, zeroed=True), WholeState(before)
        places = torch.arange(inputs.steps, device=inputs.data.device)
        u, q, k, v = self.before(inputs.data, places.expand(len(inputs), -1))
        mask = inputs.mask | (places == 0)  # a row of length 0 must look somewhere; what it finds is padding
        outputs = inputs.replace(self.after(u, self.attend(q, k, v, mask[:, None]))).zeroed()
        return outputs, WholeState(outputs.last(default=before))


BidirectionalTransformer.noncausal = BidirectionalTransformer


@register("transformer")
class Transformer(Block, Recurrence):
    """A causal transformer block: multi-head self-attention over the last `context` items, then a feed-forward net.

    Args:
        input_size: I.
        hidden_size: H.
        heads: attention heads, a divisor of H; 0 chooses as many as give each at least 32 numbers.
        context: items that one item sees, itself included.
        dropout: probability that a number of attention's or the feed-forward's output is dropped in training.
    """

    noncausal: ClassVar[type[Layer]] = BidirectionalTransformer  # what reads from both ends in place of two of these

    def __init__(
        self, input_size: int, hidden_size: int, heads: int = 0, context: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__(input_size, hidden_size, heads, dropout)
        if context < 1:
            raise ValueError(f"context: expected at least 1 item, got {context}")
        self.context = context

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
        if state is None:
            state = self.initial_state(len(inputs), device=inputs.data.device, dtype=inputs.data.dtype)
        if attention.is_supported(self, inputs.data):
            self.check_shape(inputs)
            y, state = attention.scan(self, inputs, state)
            return inputs.replace(y, zeroed=True), state
        inputs = self.check_input(inputs)
        outputs = [inputs.data.new_zeros(len(inputs), 0, self.output_size)]
        for piece in self._pieces(inputs):
            y, new = self._advance(piece.data, piece.lengths, state)
            found = piece.replace(y).zeroed()
            outputs.append(found.data)
            state = new._replace(h=found.last(default=state.h))
        return inputs.replace(torch.cat(outputs, dim=1), zeroed=True), state

    @property
    def condition_size(self) -> int:
        return self.input_size

    def condition(self, vector: Tensor) -> TransformerState:
        """The state after `vector [B, I]` as the first item: a cache cannot be cut out of it."""
        self.check_condition(vector)
        return self.step(vector, self.initial_state(len(vector), device=vector.device, dtype=vector.dtype))[1]

    def capacity(self, capacity: int, lengths: Tensor) -> int:
        """The capacity of a cache that had `capacity` and now must hold `lengths [B]` items: doubled as often as that
        takes, at most the context."""
        longest = min(int(lengths.max()) if len(lengths) else 0, self.context)
        while capacity < longest:
            capacity = min(max(1, 2 * capacity), self.context)
        return capacity

    def _pieces(self, inputs: Sequences) -> Iterator[Sequences]:
        """As many steps as an item sees, one piece after the other: pairs of items of a long text are T · context."""
        if inputs.steps <= self.context:
            yield from [inputs] if inputs.steps else []
            return
        for start in range(0, inputs.steps, self.context):
            data = inputs.data[:, start : start + self.context]
            yield Sequences(data, (inputs.lengths - start).clamp(0, data.shape[1]))

    def _advance(self, x: Tensor, lengths: Tensor, state: TransformerState) -> tuple[Tensor, TransformerState]:
        """`x [B, T, I]`, of which `lengths [B]` items count, after a state → outputs `[B, T, H]` and the next state."""
        steps = torch.arange(x.shape[1], device=x.device)
        positions = state.length[:, None] + steps
        u, q, k, v = self.before(x, positions)
        if state.keys.shape[1] == 0 and x.shape[1] <= self.context:
            attended = self.attend(q, k, v, None)
        else:
            held = self._held(state.length, state.keys.shape[1])[:, None]  # [B, 1, C]
            of_cache = (held >= 0) & (held > positions[:, :, None] - self.context)
            back = steps[:, None] - steps
            of_new = ((back >= 0) & (back < self.context)).expand(len(x), -1, -1)
            keys, values = torch.cat([state.keys, k], dim=1), torch.cat([state.values, v], dim=1)
            attended = self.attend(q, keys, values, torch.cat([of_cache, of_new], dim=2))
        return self.after(u, attended), self._remember(k, v, lengths, state)

    def _held(self, length: Tensor, capacity: int) -> Tensor:
        """The position that each place of the cache holds after `length [B]` items: `[B, C]`, negative for none."""
        last = length[:, None] - 1
        return last - (last - torch.arange(capacity, device=length.device)) % self.context

    def _remember(self, k: Tensor, v: Tensor, lengths: Tensor, state: TransformerState) -> TransformerState:
        """The state with new keys and values `[B, T, H]`; the capacity doubles until it is the context."""
        total = state.length + lengths
        capacity = self.capacity(state.keys.shape[1], total)
        held = self._held(total, capacity)
        is_new = (held >= state.length[:, None])[:, :, None]
        place = (held - state.length[:, None]).clamp(0, k.shape[1] - 1)[:, :, None].expand(-1, -1, k.shape[2])

        def joined(cache: Tensor, new: Tensor) -> Tensor:
            return torch.where(is_new, new.gather(1, place), F.pad(cache, (0, 0, 0, capacity - cache.shape[1])))

        return TransformerState(state.h, joined(state.keys, k), joined(state.values, v), total)


def rotate(x: Tensor, positions: Tensor, heads: int) -> Tensor:
    """RoPE (Su et al. 2021, eq. 34): each pair of numbers of a head turned by an angle that grows with the position.

    Args:
        x: `[B, T, H]`.
        positions: `[B, T]`.
        heads: how many heads lie side by side in H; a head's odd last number stays as it is.

    Returns:
        `[B, T, H]`. The product of two turned vectors depends on their positions' difference alone.
    """
    parts = x.unflatten(2, (heads, -1))
    half = parts.shape[3] // 2
    rates = 10000.0 ** (-torch.arange(half, device=x.device, dtype=torch.float64) / max(half, 1))
    angles = (positions.to(torch.float64)[:, :, None] * rates)[
        :, :, None
    ]  # [B, T, 1, d/2]; exact for late positions too
    first, second, rest = parts.split([half, half, parts.shape[3] - 2 * half], dim=3)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([first * cos - second * sin, first * sin + second * cos, rest], dim=3).flatten(2)
