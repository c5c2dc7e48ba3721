"""The operations that models are written over, on NumPy arrays, by the native library.

`stepscan.backends.tensors` has the same names for PyTorch's tensors; without gradients, on a CPU and in float32, both
have the same bits, for a row alone as in any batch.

Dimension letters: B batch, T time, S items of a memory, H hidden size, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from stepscan.backends.execution import Options
from stepscan.backends.native_arrays import Array, address, addresses, contiguous
from stepscan.kernels.native import library


class Linear:
    """`x Wᵀ + b` over the last dimension.

    Args:
        weight: `[O, I]`.
        bias: `[O]`, or None.
    """

    def __init__(self, weight: Array, bias: Array | None, options: Options) -> None:
        self.output_size, self.input_size = weight.shape
        self.threads = options.threads
        self.weight = weight if len(weight) == 1 else None  # the vector v of additive attention is read, not run
        weight, bias = contiguous(weight), None if bias is None else contiguous(bias)
        bias_address = 0 if bias is None else address(bias)
        self.native = library.Linear(address(weight), bias_address, self.input_size, self.output_size, options.format)

    def __call__(self, x: Array) -> Array:
        x = contiguous(x)
        outputs = np.empty((*x.shape[:-1], self.output_size), np.float32)
        self.native.run(*addresses(x), x.size // self.input_size, *addresses(outputs), self.threads)
        return outputs


class LayerNorm:
    """Layer normalisation over the last dimension (Ba et al. 2016).

    Args:
        gain: `[H]`.
        bias: `[H]`.
    """

    def __init__(self, gain: Array, bias: Array, options: Options) -> None:
        self.gain, self.bias, self.threads = contiguous(gain), contiguous(bias), options.threads

    def __call__(self, x: Array) -> Array:
        x = contiguous(x)
        outputs, size = np.empty_like(x), len(self.gain)
        weights = addresses(self.gain, self.bias, outputs)
        library.layer_norm(address(x), x.size // size, size, *weights, self.threads)
        return outputs


def tanh(x: Array) -> Array:
    """Hyperbolic tangent, elementwise."""
    x = contiguous(x)
    outputs = np.empty_like(x)
    library.tanh(*addresses(x), x.size, *addresses(outputs), 1)
    return outputs


def softmax(scores: Array) -> Array:
    """Softmax over the last dimension; −∞ has probability 0."""
    scores = contiguous(scores)
    outputs, size = np.empty_like(scores), scores.shape[-1]
    library.softmax(*addresses(scores), scores.size // max(1, size), size, *addresses(outputs), 1)
    return outputs


def attend(queries: Array, keys: Array, memory: Array, length: Array, score: Array | None) -> tuple[Array, Array]:
    """Additive attention (Bahdanau et al. 2015), or by products (Luong et al. 2015).

    Args:
        queries: `[B, T, A]`, keys `[B, S, A]`, memory `[B, S, M]`, length `[B]` of the memory, score: A numbers v, or
            None for products.

    Returns:
        Contexts `[B, T, M]` and weights `[B, T, S]`, softmax over S of v · tanh(query + key) or of query · key; zeros
        where length is 0.
    """
    queries, keys, memory = map(contiguous, (queries, keys, memory))
    score = None if score is None else contiguous(score)
    length = np.ascontiguousarray(length, np.int64)
    (rows, steps, width), items, memory_width = queries.shape, keys.shape[1], memory.shape[2]
    context, weights = np.empty((rows, steps, memory_width), np.float32), np.empty((rows, steps, items), np.float32)
    sizes = (rows, steps, items, width, memory_width)
    v = 0 if score is None else address(score)
    library.attend(*addresses(queries, keys, memory, length), v, *sizes, *addresses(context, weights), 1)
    return context, weights


def masked_softmax(scores: Array, mask: Array) -> Array:
    """Softmax over the last dimension, restricted to where `mask` is true; zeros if it is true nowhere."""
    return np.where(mask, softmax(np.where(mask, scores, np.float32(-np.inf))), np.float32(0))


def sum_over_time(data: Array) -> Array:
    """Σ over time of `[B, T, H]`, in order and in float64, so that padding does not change the rounding."""
    if not data.shape[1]:
        return data.sum(axis=1)
    return data.cumsum(axis=1, dtype=np.float64)[:, -1].astype(np.float32)


def max_over_time(data: Array, mask: Array) -> Array:
    """The maximum over time of `[B, T, H]` where `mask [B, T]` is true; 0 if it is true nowhere."""
    maximum = np.where(mask[:, :, None], data, np.float32(-np.inf)).max(axis=1)
    return np.where(mask.any(axis=1, keepdims=True), maximum, np.float32(0))


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """`x Wᵀ + b` of weights that are not packed, as in equations of cells."""
    product = x @ weight.T
    return product if bias is None else product + bias


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(−x)), elementwise; it does not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def relu(x: Array) -> Array:
    """max(x, 0), elementwise."""
    return np.maximum(x, 0)


def chunk(x: Array, count: int) -> list[Array]:
    """Parts of `[B, W]` of equal width."""
    return np.split(x, count, axis=1)


def layer_norm(x: Array, gain: Array, bias: Array | None = None) -> Array:
    """Layer normalisation of each row of `[B, W]` (Ba et al. 2016), with ε = 10⁻⁵."""
    centred = x - x.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt(centred.var(axis=1, keepdims=True) + 1e-5) * gain
    return scaled if bias is None else scaled + bias


def softplus(x: Array) -> Array:
    """`log(1 + exp x)`, elementwise, computed in float64."""
    return np.logaddexp(0, x.astype(np.float64)).astype(np.float32)


def log(x: Array) -> Array:
    """The natural logarithm, elementwise."""
    return np.log(x)


def maximum(a: Array, b: Array) -> Array:
    """The greater of each two elements."""
    return np.maximum(a, b)


def embed(weight: Array, ids: Array) -> Array:
    """Rows of `weight [V, E]` at ids `[…]` → `[…, E]`."""
    return weight.take(ids, axis=0)


def concat(parts: Sequence[Array], axis: int = -1) -> Array:
    """Arrays, concatenated along a dimension."""
    return np.concatenate(list(parts), axis=axis)


def where(mask: Array, a: Any, b: Any) -> Array:
    """`a` where the mask is true, else `b`."""
    return np.where(mask, a, b)


def type_of(x: Any) -> dict[str, Any]:
    """The arguments `device` and `dtype` of an initial state beside `x`."""
    return {}


def zeros(like: Array, *shape: int) -> Array:
    """Zeros of this shape, of the type of `like`."""
    return np.zeros(shape, like.dtype)


def zero_lengths(like: Array, rows: int) -> Array:
    """Lengths `[rows]` of empty sequences."""
    return np.zeros(rows, np.int64)


def constant(values: Sequence[float], like: Array) -> Array:
    """Numbers as an array of the type of `like`."""
    return np.array(values, like.dtype)


def copy(x: Array) -> Array:
    """A contiguous copy."""
    return np.array(x, order="C")


def stack(parts: Sequence[Array], axis: int) -> Array:
    """Arrays of one shape along a new dimension."""
    return np.stack(list(parts), axis=axis)


def time_steps(data: Array) -> Iterator[Array]:
    """The steps `[B, …]` of `[B, T, …]`, one after the other."""
    return iter(data.swapaxes(0, 1))


def split_heads(x: Array, heads: int) -> Array:
    """`[B, T, H]` → `[B · heads, T, H / heads]`."""
    rows, steps, size = x.shape
    return x.reshape(rows, steps, heads, size // heads).swapaxes(1, 2).reshape(rows * heads, steps, size // heads)


def join_heads(x: Array, heads: int) -> Array:
    """The inverse of `split_heads`."""
    rows, steps, size = x.shape
    return x.reshape(rows // heads, heads, steps, size).swapaxes(1, 2).reshape(rows // heads, steps, heads * size)


def repeat(x: Array, times: int) -> Array:
    """Each row of `[B, …]` this many times, `[B · times, …]`."""
    return np.repeat(x, times, axis=0)


def counts(lengths: Array) -> Array:
    """Lengths `[B]` as divisors of means: at least 1."""
    return np.maximum(lengths, 1).astype(np.float32)


def to_backend(batch: Any, owner: Any) -> Any:
    """A batch of arrays as the backend's, where `owner` has its weights; one of the backend is returned as it is."""
    return batch


def from_array(x: Array, like: Any) -> Array:
    """A NumPy array as the backend's, where `like` is."""
    return x


def to_array(x: Array) -> Array:
    """The values as a NumPy array."""
    return x


def without_gradients() -> contextlib.AbstractContextManager[None]:
    """A context in which no gradients are recorded."""
    return contextlib.nullcontext()


def attach(owner: Any, path: str, value: Any) -> None:
    """Set an attribute; in a path such as `attention.score`, the names before the last are those of containers."""
    *containers, name = path.split(".")
    for container in containers:
        if not hasattr(owner, container):
            setattr(owner, container, SimpleNamespace())
        owner = getattr(owner, container)
    setattr(owner, name, value)
