"""Operations on arrays by the native library, with the bits of its operations on tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stepscan.kernels.native import library
from stepscan.runtime.execution import Options
from stepscan.runtime.native_arrays import Array, address, addresses, contiguous


class Linear:
    """`x Wᵀ + b` over the last dimension.

    Args:
        weight: `[O, I]`.
        bias: `[O]`, or None.
    """

    def __init__(self, weight: Array, bias: Array | None, options: Options) -> None:
        self.output_size, self.input_size = weight.shape
        self.threads = options.threads
        weight, bias = contiguous(weight), None if bias is None else contiguous(bias)
        bias_address = 0 if bias is None else address(bias)
        self.native = library.Linear(address(weight), bias_address, self.input_size, self.output_size, options.format)

    def __call__(self, x: Array) -> Array:
        x = contiguous(x)
        outputs = np.empty((*x.shape[:-1], self.output_size), np.float32)
        self.native.run(*addresses(x), x.size // self.input_size, *addresses(outputs), self.threads)
        return outputs


def linear(tensors: Mapping[str, Array], prefix: str, options: Options) -> Linear:
    """The `Linear` whose tensors are `prefix + "weight"` and, where it is there, `prefix + "bias"`."""
    return Linear(tensors[prefix + "weight"], tensors.get(prefix + "bias"), options)


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
