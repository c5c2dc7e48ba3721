"""Generation inside the native library: many symbols per call, without a step of Python between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stepscan.backends.batches import PLACES, Array
from stepscan.backends.layers import NativeLayer
from stepscan.backends.native_arrays import address
from stepscan.decoding import Sampler
from stepscan.kernels.native import library
from stepscan.state import State

_SYMBOLS_PER_CALL = 512  # of the native library, between which Python handles signals such as Ctrl-C


class Draws(NamedTuple):
    """How the next symbol of each of N texts is sampled."""

    settings: Array  # [N, 3] of float64: temperature, top_p, min_p
    top_k: Array  # [N] of int64
    excluded: list[int]  # addresses of [V] of uint8, true for symbols that are not sampled
    uniforms: Array  # [N] of float64 in [0, 1)
    measured: Array  # [N] of uint8: whether the symbol's probability is wanted


class TokenWriter:
    """Generates symbols of a generator on arrays whose layer is native.

    Args:
        network: the generator.

    Raises:
        TypeError: the layer is not native.
    """

    def __init__(self, network: Any) -> None:
        if not isinstance(network.layer, NativeLayer):
            raise TypeError(
                f"expected a native layer, got {network.layer.signature}, which generates step by step only"
            )
        self.network, table = network, np.ascontiguousarray(network.embedding.weight, np.float32)
        projection = None if network.projection is None else network.projection.native
        self._table = table  # the library reads it
        self._native = library.TokenGenerator(
            address(table), len(table), network.layer.native, projection, network.head.native
        )

    def write_each(self, streams: Sequence[Any], y: Array, draws: Draws, threads: int) -> tuple[Array, Array]:
        """Sample one symbol of each of N texts together, with the bits of each text alone.

        Args:
            streams: N streams of the native library, modified in place to the states after the symbols.
            y: `[N, H]`, the layer's last outputs, modified in place likewise.
            draws: how each symbol is sampled.
            threads: maximum number of threads.

        Returns:
            Ids `[N]`, -1 where scores are not finite or all symbols are excluded (a stream of no use from then on), and
            the probability `[N]` of each symbol that is measured.
        """
        ids, probabilities = np.empty(len(streams), np.int64), np.empty(len(streams), np.float32)
        inputs = address(y), address(draws.settings), address(draws.top_k), draws.excluded
        outputs = address(ids), address(probabilities)
        self._native.generate_each(
            streams, *inputs, address(draws.uniforms), address(draws.measured), *outputs, threads
        )
        return ids, probabilities

    def read(self, ids: Sequence[int]) -> tuple[State, Array]:
        """Run over at least one id from the initial state → the state, and the layer's last output `[1, H]`."""
        network, outputs = self.network, np.zeros((1, 0, 0))
        state = network.initial_state(1)
        for first in range(0, len(ids), PLACES):
            batch, state = network.layer(network.embedding(network.batch([ids[first : first + PLACES]])), state)
            outputs = batch.data
        return state, outputs[:, -1].copy()

    def write(
        self, state: Array, y: Array, draws: Array, sampler: Sampler, excluded: Sequence[int], threads: int
    ) -> list[int]:
        """Sample symbols autoregressively.

        Args:
            state: `[1, S]`, whose cache has room for the symbols, modified in place to the state after the last symbol.
            y: `[1, H]`, the layer's last output, modified in place likewise.
            draws: float64 `[N]`, uniform in [0, 1), one per symbol.
            sampler: the sampling method.
            excluded: ids that are not sampled.
            threads: maximum number of threads.

        Returns:
            N ids.

        Raises:
            StepscanError: logits are not finite, or all symbols are excluded.
        """
        is_excluded = np.zeros(len(self._table), np.uint8)
        is_excluded[list(excluded)] = 1
        ids = np.empty(len(draws), np.int64)
        arrays: list[Array] = [np.ascontiguousarray(draws, np.float64), is_excluded, ids]
        draws_address, excluded_address, ids_address = map(address, arrays)
        capacity = self.network.layer.capacity(state)
        settings = sampler.temperature, int(sampler.top_k), sampler.top_p, sampler.min_p
        for first in range(0, len(ids), _SYMBOLS_PER_CALL):
            count = min(_SYMBOLS_PER_CALL, len(ids) - first)
            addresses = excluded_address, draws_address + 8 * first, ids_address + 8 * first
            written = self._native.generate(address(state), capacity, address(y), count, *settings, *addresses, threads)
            if written < count:
                sampler.probabilities(np.where(is_excluded, -np.inf, self.network.score(y)))  # raises the error
                return ids[: first + written].tolist()
        return ids.tolist()
