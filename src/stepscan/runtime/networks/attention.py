"""Attention without torch; see `stepscan.patterns.attention` for the formulas and their sources."""

from __future__ import annotations

import numpy as np

from stepscan.errors import ModelFormatError, nearest
from stepscan.runtime.batches import Array
from stepscan.runtime.networks.tensors import Tensors
from stepscan.runtime.operations import attend, softmax

KINDS = ("additive", "dot", "general")


def masked_softmax(scores: Array, mask: Array) -> Array:
    """Softmax over the last dimension, restricted to where `mask` is true; zeros if it is true nowhere."""
    return np.where(mask, softmax(np.where(mask, scores, np.float32(-np.inf))), np.float32(0))


class AdditiveAttention:
    """`score(q, m) = v · tanh(W_q q + W_m m)`.

    Args:
        tensors: `of_query`, `of_memory`, `score`.
        query_size: Q, size of a query q.
        memory_size: M, size of an item m of the memory.
        size: A, size of the hidden layer.
    """

    def __init__(self, tensors: Tensors, query_size: int, memory_size: int, size: int) -> None:
        self.of_query = tensors.linear("of_query", query_size, size)
        self.of_memory = tensors.linear("of_memory", memory_size, size, bias=False)
        self.score = tensors.scope("score").array("weight", 1, size)[0]

    def __call__(self, queries: Array, keys: Array, memory: Array, length: Array) -> tuple[Array, Array]:
        """Queries `[B, T, Q]`, keys `of_memory(memory)` `[B, S, A]`, memory `[B, S, M]`, length `[B]`
        → contexts `[B, T, M]` and weights `[B, T, S]`."""
        return attend(self.of_query(queries), keys, memory, length, self.score)


class ProductAttention:
    """`score(q, m) = q · W m` (`general`), or `q · m` without W (`dot`).

    Args:
        tensors: `of_memory`, if there is a W.
        query_size: Q, size of a query q.
        memory_size: M, size of an item m of the memory; without W equal to Q.
        weighted: whether there is a W.

    Raises:
        ModelFormatError: without W, the two sizes differ.
    """

    def __init__(self, tensors: Tensors, query_size: int, memory_size: int, weighted: bool) -> None:
        if not weighted and query_size != memory_size:
            raise ModelFormatError(
                f"attention 'dot': expected queries and memory of one size, got {query_size} and {memory_size}"
            )
        self.of_memory = tensors.linear("of_memory", memory_size, query_size, bias=False) if weighted else _identity

    def __call__(self, queries: Array, keys: Array, memory: Array, length: Array) -> tuple[Array, Array]:
        """As `AdditiveAttention`; keys `of_memory(memory)` `[B, S, Q]`."""
        return attend(queries, keys, memory, length, None)


def _identity(memory: Array) -> Array:
    return memory


def build_attention(
    kind: str, tensors: Tensors, query_size: int, memory_size: int, size: int
) -> AdditiveAttention | ProductAttention:
    """The attention of a kind, `additive`, `dot` or `general`.

    Raises:
        ModelFormatError: an unknown kind, or sizes that do not fit.
    """
    if kind not in KINDS:
        raise ModelFormatError(
            f"attention: expected one of {', '.join(KINDS)}, got {kind!r}.{nearest(str(kind), KINDS)}"
        )
    if kind == "additive":
        return AdditiveAttention(tensors, query_size, memory_size, size)
    return ProductAttention(tensors, query_size, memory_size, weighted=kind == "general")
