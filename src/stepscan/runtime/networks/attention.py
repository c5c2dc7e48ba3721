"""Attention without torch: how well a query fits each item of a memory, and what it so finds there.

The formulas, and the papers that they are from, stand in `stepscan.patterns.attention`.
"""

from __future__ import annotations

import numpy as np

from stepscan.errors import ModelFormatError, nearest
from stepscan.runtime.batches import Array
from stepscan.runtime.layers import attend, softmax
from stepscan.runtime.networks.tensors import Tensors

KINDS = ("additive", "dot", "general")


def masked_softmax(scores: Array, mask: Array) -> Array:
    """Softmax over the last dimension among the places where `mask` is true; all zeros where there is none."""
    return np.where(mask, softmax(np.where(mask, scores, np.float32(-np.inf))), np.float32(0))


class AdditiveAttention:
    """`score(q, m) = v · tanh(W_q q + W_m m)`.

    Args:
        tensors: `of_query`, `of_memory`, `score`.
        query_size: numbers in a query q.
        memory_size: numbers in an item m of the memory.
        size: width A of the hidden layer.
    """

    def __init__(self, tensors: Tensors, query_size: int, memory_size: int, size: int) -> None:
        self.of_query = tensors.linear("of_query", query_size, size)
        self.of_memory = tensors.linear("of_memory", memory_size, size, bias=False)
        self.score = tensors.inside("score").array("weight", 1, size)[0]

    def __call__(self, queries: Array, keys: Array, memory: Array, length: Array) -> tuple[Array, Array]:
        """Queries `[B, T, Q]`, keys `of_memory(memory)` `[B, S, A]`, memory `[B, S, M]`, length `[B]`
        → contexts `[B, T, M]` and weights `[B, T, S]`."""
        return attend(self.of_query(queries), keys, memory, length, self.score)


class ProductAttention:
    """`score(q, m) = q · W m` (`general`), or `q · m` without W (`dot`).

    Args:
        tensors: `of_memory`, where there is a W.
        query_size: numbers in a query q.
        memory_size: numbers in an item m of the memory; without W as many.
        weighted: whether there is a W.
    """

    def __init__(self, tensors: Tensors, query_size: int, memory_size: int, weighted: bool) -> None:
        if not weighted and query_size != memory_size:
            raise ModelFormatError(
                f"dot attention needs queries as wide as the memory, but they are {query_size} and {memory_size}"
            )
        self.of_memory = tensors.linear("of_memory", memory_size, query_size, bias=False) if weighted else _as_it_is

    def __call__(self, queries: Array, keys: Array, memory: Array, length: Array) -> tuple[Array, Array]:
        """As `AdditiveAttention`; keys `of_memory(memory)` `[B, S, Q]`."""
        return attend(queries, keys, memory, length, None)


def _as_it_is(memory: Array) -> Array:
    return memory


def build_attention(
    kind: str, tensors: Tensors, query_size: int, memory_size: int, size: int
) -> AdditiveAttention | ProductAttention:
    """The attention of that kind: `additive`, `dot` or `general`."""
    if kind not in KINDS:
        raise ModelFormatError(f"unknown attention {kind!r}.{nearest(str(kind), KINDS)}")
    if kind == "additive":
        return AdditiveAttention(tensors, query_size, memory_size, size)
    return ProductAttention(tensors, query_size, memory_size, weighted=kind == "general")
