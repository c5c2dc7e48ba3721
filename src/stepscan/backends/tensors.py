"""The operations that models are written over, on PyTorch's tensors; see `stepscan.backends.arrays` for each of them.

With gradients they are PyTorch's, without them the native library's where it supports the tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.backends import arrays
from stepscan.backends.batches import Batch, Words
from stepscan.kernels import pointwise
from stepscan.kernels.pointwise import softmax
from stepscan.kernels.tensors import is_supported
from stepscan.kernels.training import Attend
from stepscan.sequences import Sequences, WordsWithCharacters

log, maximum, stack, tanh = torch.log, torch.maximum, torch.stack, pointwise.tanh
linear, relu, sigmoid = F.linear, torch.relu, torch.sigmoid
without_gradients = torch.inference_mode


def attend(
    queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor]:
    """See `stepscan.backends.arrays.attend`."""
    inputs = (queries, keys, memory, length, score)
    if not pointwise.attend_is_supported(queries, keys, memory, *([] if score is None else [score])):
        return _attend_reference(*inputs)
    return Attend.apply(_attend_reference, *inputs) if torch.is_grad_enabled() else pointwise.attend(*inputs)


def _attend_reference(
    queries: Tensor, keys: Tensor, memory: Tensor, length: Tensor, score: Tensor | None
) -> tuple[Tensor, Tensor]:
    if score is None:
        scores = queries @ keys.transpose(1, 2)
    else:
        scores = F.linear(torch.tanh(queries[:, :, None] + keys[:, None]), score)[..., 0]
    mask = torch.arange(memory.shape[1], device=memory.device) < length[:, None]
    weights = masked_softmax(scores, mask[:, None])
    return weights @ memory, weights


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """See `stepscan.backends.arrays.masked_softmax`."""
    lowest = torch.finfo(scores.dtype).min if torch.is_grad_enabled() else float("-inf")  # −∞ gives NaN gradients
    return torch.where(mask, softmax(scores.masked_fill(~mask, lowest)), 0)


def sum_over_time(data: Tensor) -> Tensor:
    """See `stepscan.backends.arrays.sum_over_time`; with gradients, not in order."""
    if torch.is_grad_enabled() or data.shape[1] == 0:
        return data.sum(dim=1)
    return data.cumsum(dim=1)[:, -1]  # PyTorch adds in float64 on a CPU


def max_over_time(data: Tensor, mask: Tensor) -> Tensor:
    """See `stepscan.backends.arrays.max_over_time`."""
    greatest = data.masked_fill(~mask[:, :, None], float("-inf")).amax(dim=1)
    return torch.where(mask.any(dim=1)[:, None], greatest, 0)


def softplus(x: Tensor) -> Tensor:
    """See `stepscan.backends.arrays.softplus`."""
    if torch.is_grad_enabled() or not is_supported(x, x):
        return F.softplus(x)
    return torch.from_numpy(arrays.softplus(x.numpy()))


def chunk(x: Tensor, count: int) -> Sequence[Tensor]:
    """See `stepscan.backends.arrays.chunk`."""
    return x.chunk(count, dim=1)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor | None = None) -> Tensor:
    """See `stepscan.backends.arrays.layer_norm`."""
    return F.layer_norm(x, x.shape[1:], gain, bias)


def embed(weight: Tensor, ids: Tensor) -> Tensor:
    """See `stepscan.backends.arrays.embed`."""
    return F.embedding(ids, weight)


def concat(parts: Sequence[Tensor], axis: int = -1) -> Tensor:
    """See `stepscan.backends.arrays.concat`."""
    return torch.cat(list(parts), dim=axis)


def where(mask: Tensor, a: Any, b: Any) -> Tensor:
    """See `stepscan.backends.arrays.where`."""
    return torch.where(mask, a, b)


def type_of(x: Tensor) -> dict[str, Any]:
    """See `stepscan.backends.arrays.type_of`."""
    return {"device": x.device, "dtype": x.dtype}


def zeros(like: Tensor, *shape: int) -> Tensor:
    """See `stepscan.backends.arrays.zeros`."""
    return like.new_zeros(*shape)


def zero_lengths(like: Tensor, rows: int) -> Tensor:
    """See `stepscan.backends.arrays.zero_lengths`."""
    return like.new_zeros(rows, dtype=torch.long)


def constant(values: Sequence[float], like: Tensor) -> Tensor:
    """See `stepscan.backends.arrays.constant`."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)


def counts(lengths: Tensor) -> Tensor:
    """See `stepscan.backends.arrays.counts`."""
    return lengths.clamp(min=1)


def copy(x: Tensor) -> Tensor:
    """See `stepscan.backends.arrays.copy`."""
    return x.clone(memory_format=torch.contiguous_format)


def time_steps(data: Tensor) -> Sequence[Tensor]:
    """See `stepscan.backends.arrays.time_steps`; a slice each step would make backward quadratic in T."""
    return data.unbind(1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """See `stepscan.backends.arrays.split_heads`."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2).flatten(0, 1)


def join_heads(x: Tensor, heads: int) -> Tensor:
    """See `stepscan.backends.arrays.join_heads`."""
    return x.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)


def repeat(x: Tensor, times: int) -> Tensor:
    """See `stepscan.backends.arrays.repeat`."""
    return x.repeat_interleave(times, dim=0)


def to_backend(batch: Any, owner: nn.Module) -> Any:
    """See `stepscan.backends.arrays.to_backend`."""
    return as_tensors(batch).to(next(owner.parameters()).device)


def as_tensors(batch: Any) -> Any:
    """A batch of arrays as tensors; one of tensors is returned as it is."""
    if isinstance(batch, Batch):
        return to_sequences(batch)
    if isinstance(batch, Words):
        spellings, index = tuple(map(to_sequences, batch.spellings)), torch.from_numpy(batch.spelling_index)
        return WordsWithCharacters(to_sequences(batch.words), spellings, index)
    return batch


def to_sequences(batch: Batch) -> Sequences:
    """A batch of arrays as tensors."""
    return Sequences(torch.from_numpy(batch.data), torch.from_numpy(batch.lengths))


def as_given(batch: Any, values: Any) -> Any:
    """Values `[B, T, …]` as a batch of tensors, if `batch` is one; otherwise as they are."""
    if not isinstance(batch, Sequences) or isinstance(values, Sequences):
        return values
    return batch.replace(torch.from_numpy(values).to(batch.data.device), zeroed=True)


def from_array(x: np.ndarray, like: Tensor) -> Tensor:
    """See `stepscan.backends.arrays.from_array`."""
    return torch.from_numpy(x).to(like.device)


def to_array(x: Tensor) -> np.ndarray:
    """See `stepscan.backends.arrays.to_array`."""
    return x.detach().cpu().numpy()


def attach(owner: nn.Module, path: str, value: Any) -> None:
    """See `stepscan.backends.arrays.attach`; a buffer is a tensor that is not a parameter."""
    *containers, name = path.split(".")
    for container in containers:
        if container not in owner._modules:
            owner.add_module(container, nn.Module())
        owner = owner.get_submodule(container)
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        owner.register_buffer(name, value)
    elif name.isdigit() and value is not None:
        owner.add_module(name, value)
    else:
        setattr(owner, name, value)
