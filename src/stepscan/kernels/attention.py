"""Transformer blocks on the native kernels, without gradients: one order of sums for steps, scans and batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stepscan.kernels import tensors
from stepscan.kernels.native import library
from stepscan.sequences import Sequences

__all__ = ["is_supported", "scan", "scan_all", "step"]

_MAPS = ("into", "projection", "output", "up", "down")
_NORMS = ("attention_norm", "forward_norm")
_COUNT = 2**24  # a native state counts items in two floats, in this base: see native/transformer.cpp


def is_supported(block: Any, data: Tensor) -> bool:
    """Whether the native kernels are enabled and support `block` on `data`: no gradient, no dropout, no hook.

    Which does not depend on the batch or the lengths.
    """
    hooked = (part._forward_hooks or part._forward_pre_hooks for part in block.children())
    return (
        not torch.is_grad_enabled()
        and not (block.training and block.dropout)
        and tensors.is_supported(block.projection.weight, data)
        and not any(hooked)
    )


def scan(block: Any, inputs: Sequences, state: Any) -> tuple[Tensor, Any]:
    """A scan of a causal block: `[B, T, I]`, whose padding is not read, and a `TransformerState`.

    Returns:
        Outputs `[B, T, H]`, zero in the padding, and the next state.

    Raises:
        ValueError: the state has another shape, or counts items that it does not hold.
    """
    x, lengths = inputs.data.contiguous(), inputs.lengths.contiguous()
    layer, (batch, steps) = _layer(block), x.shape[:2]
    rows, capacity = _rows(block, layer, state, lengths)
    y = x.new_empty(batch, steps, block.output_size)
    sizes = batch, steps, rows.data_ptr(), capacity, y.data_ptr(), torch.get_num_threads()
    layer.scan(x.data_ptr(), lengths.data_ptr(), *sizes)
    return y, _state(block, rows, capacity, type(state))


def step(block: Any, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """A step of a causal block: `x [B, I]` and a `TransformerState` → `[B, H]` and the next state.

    Raises:
        ValueError: x or the state has another shape, or the state counts items that it does not hold.
    """
    if x.dim() != 2 or x.shape[1] != block.input_size:
        raise ValueError(f"{block.signature}: expected x [B, {block.input_size}], got {list(x.shape)}")
    x, layer = x.contiguous(), _layer(block)
    rows, capacity = _rows(block, layer, state, torch.ones(len(x), dtype=torch.long))
    y = x.new_empty(len(x), block.output_size)
    layer.step(x.data_ptr(), len(x), rows.data_ptr(), capacity, y.data_ptr(), torch.get_num_threads())
    return y, _state(block, rows, capacity, type(state))


def scan_all(block: Any, inputs: Sequences, before: Tensor) -> tuple[Tensor, Tensor]:
    """A scan of the block that sees all items: outputs `[B, T, H]`, and the last one of each row `[B, H]`; for a row of
    length 0 that of `before [B, H]`."""
    x, lengths, h = inputs.data.contiguous(), inputs.lengths.contiguous(), before.clone()
    (batch, steps), threads = x.shape[:2], torch.get_num_threads()
    y = x.new_empty(batch, steps, block.output_size)
    addresses = x.data_ptr(), lengths.data_ptr(), batch, steps, h.data_ptr(), 0, y.data_ptr()
    _layer(block).scan(*addresses, threads)
    return y, h


def _layer(block: Any) -> Any:
    """The native layer with the block's weights."""
    parts = [getattr(block, name) for name in (*_MAPS, *_NORMS)]
    weights = [None if part is None else weight for part in parts for weight in _weights(part)]

    def make(addresses: list[int]) -> Any:
        _check_weights(block, weights)
        pairs = list(zip(addresses[::2], addresses[1::2], strict=True))
        maps = [
            None if part is None else library.Linear(*pair, part.in_features, part.out_features)
            for part, pair in zip(parts, pairs[: len(_MAPS)], strict=False)
        ]
        norms = [address for pair in pairs[len(_MAPS) :] for address in pair]
        return library.make_transformer(maps, norms, block.heads, getattr(block, "context", 0))

    return tensors.packed(block, weights, False, make)


def _weights(part: Any) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if part is None else (part.weight, part.bias)


def _check_weights(block: Any, weights: list[Tensor | None]) -> None:
    inputs, size = block.input_size, block.hidden_size
    widths = [(size, inputs), (3 * size, size), (size, size), (4 * size, size), (size, 4 * size)]
    shapes: list[tuple[int, ...]] = [shape for rows, columns in widths for shape in ((rows, columns), (rows,))]
    for weight, shape in zip(weights, [*shapes, *[(size,)] * 4], strict=True):
        if weight is not None and (weight.shape != shape or weight.dtype is not torch.float32 or not weight.is_cpu):
            raise ValueError(
                f"{block.signature}: expected weights {list(shape)}, float32, on the CPU, got {list(weight.shape)}, "
                f"{weight.dtype}, on {weight.device}"
            )


def _rows(block: Any, layer: Any, state: Any, more: Tensor) -> tuple[Tensor, int]:
    """The native state `[B, 2 + H + 2 · C · H]` with room for `more [B]` items, which shares no memory; and C."""
    batch, size = len(more), block.hidden_size
    shapes = [(batch, size), (batch, state.keys.shape[1], size), (batch, state.keys.shape[1], size), (batch,)]
    for name, leaf, shape in zip(type(state)._fields, state, shapes, strict=True):
        if leaf.shape != shape:
            raise ValueError(f"{block.signature}: expected a state with {name} {list(shape)}, got {list(leaf.shape)}")
    held = state.length.clamp(max=block.context)
    if batch and not 0 <= int(held.min()) <= int(held.max()) <= state.keys.shape[1]:
        raise ValueError(f"{block.signature}: expected a state with room for {int(held.max())} items, got {shapes[1]}")
    had, capacity = state.keys.shape[1], block.capacity(state.keys.shape[1], state.length + more)
    rows = state.h.new_zeros(batch, size + 2 + 2 * capacity * size, dtype=torch.float32)
    parts = _parts(rows, capacity, size)
    parts[0].copy_(state.h)
    if had:
        parts[1].copy_(torch.stack((state.length % _COUNT, state.length // _COUNT), dim=1))
        parts[2][:, :had].copy_(state.keys)
        parts[3][:, :had].copy_(state.values)
    return rows, capacity


def _parts(rows: Tensor, capacity: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where a native state has h `[B, H]`, the count `[B, 2]`, and keys and values `[B, C, H]`."""
    h, count, *caches = rows.split([size, 2, capacity * size, capacity * size], dim=1)
    keys, values = (cache.view(len(rows), capacity, size) for cache in caches)
    return h, count, keys, values


def _state(block: Any, rows: Tensor, capacity: int, kind: type) -> Any:
    h, count, keys, values = _parts(rows, capacity, block.hidden_size)
    low, high = count.long().unbind(dim=1)
    return kind(h, keys, values, low + high * _COUNT)
