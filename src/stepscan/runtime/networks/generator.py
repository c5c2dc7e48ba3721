"""Generator, an unfold: a sequence from an initial state, in which each output is the next input."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.decoding import Sampler
from stepscan.errors import ModelFormatError, nearest
from stepscan.kernels.native import library
from stepscan.runtime.batches import PLACES, Array, Batch
from stepscan.runtime.layers import Layer
from stepscan.runtime.native_arrays import address
from stepscan.runtime.networks.decoder import build_decoder
from stepscan.runtime.networks.embedding import SYMBOLS, Embedding
from stepscan.runtime.networks.tensors import Tensors, build_module
from stepscan.runtime.operations import Linear
from stepscan.state import State

INITIAL = ("zero", "learned")
_SYMBOLS_PER_CALL = 512  # of the native library, between which Python handles signals such as Ctrl-C


class Generator:
    """An autoregressive model of symbols: predicts the next symbol from the previous ones.

    Args:
        tensors: its tensors; also `start` if the initial state is learned, `bias [V]` if the weights are tied.
        embedding: its description; its vocabulary is that of the outputs.
        layer: description of a causal layer.
        initial: the initial state: `zero` (the layer's) or `learned` (a parameter, passed to `layer.condition`).
        tie_weights: whether the output weights are the embedding's. If the sizes of layer and embedding differ, there
            is a projection between them.
        dropout, label_smoothing, activation_regularisation, temporal_activation_regularisation: ignored, for training
            only.
    """

    def __init__(
        self,
        tensors: Tensors,
        embedding: Any,
        layer: Any,
        initial: str = "zero",
        tie_weights: bool = False,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        activation_regularisation: float = 0.0,
        temporal_activation_regularisation: float = 0.0,
    ) -> None:
        if initial not in INITIAL:
            raise ModelFormatError(
                f"initial: expected one of {', '.join(INITIAL)}, got {initial!r}.{nearest(str(initial), INITIAL)}"
            )
        self.embedding: Embedding = build_module(SYMBOLS, embedding, tensors.scope("embedding"))
        self.layer = build_decoder(layer, tensors, "layer")
        self.start = tensors.array("start", self.layer.condition_size) if initial == "learned" else None
        size, width = self.layer.output_size, self.embedding.output_size
        self.projection = tensors.linear("projection", size, width) if tie_weights and size != width else None
        vocabulary = self.embedding.vocabulary_size
        self.head = (
            Linear(self.embedding.weight, tensors.array("bias", vocabulary), tensors.options)
            if tie_weights
            else tensors.linear("head", size, vocabulary)
        )

    def initial_state(self, rows: int) -> State:
        """The state of this number of rows before the first symbol."""
        if self.start is None:
            return self.layer.initial_state(rows)
        return self.layer.condition(np.repeat(self.start[None], rows, axis=0))

    def scan(self, rows: Batch | Sequence[Any], state: State | None = None) -> tuple[Array, Array, State]:
        """Rows of ids, or a batch `[B, T]` → logits of the next symbols `[B, T, V]`, lengths `[B]`, the final state."""
        vectors, lengths = self.embedding(rows)
        state = self.initial_state(len(lengths)) if state is None else state
        outputs, state = self.layer.scan(vectors, lengths, state)
        scores = Batch(self.score(outputs), lengths).zeroed()
        return scores.data, lengths, state

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        """Ids `[B]` and a state → logits of the next symbols `[B, V]`, and the next state."""
        y, state = self.layer.step(self.embedding.step(ids), state)
        return self.score(y), state

    def read(self, ids: Sequence[int]) -> tuple[State, Array]:
        """Run over at least one id from the initial state → the state, and the layer's last output `[1, H]`."""
        state = self.initial_state(1)
        for first in range(0, len(ids), PLACES):
            outputs, state = self.layer.scan(*self.embedding([ids[first : first + PLACES]]), state)
        return state, outputs[:, -1].copy()

    def write(
        self, state: Array, y: Array, draws: Array, sampler: Sampler, excluded: Sequence[int], threads: int
    ) -> list[int]:
        """Sample symbols autoregressively inside the native library.

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
        is_excluded = np.zeros(self.embedding.vocabulary_size, np.uint8)
        is_excluded[list(excluded)] = 1
        ids = np.empty(len(draws), np.int64)
        arrays: list[Array] = [np.ascontiguousarray(draws, np.float64), is_excluded, ids]
        draws_address, excluded_address, ids_address = map(address, arrays)
        capacity = self.layer.capacity(state) if isinstance(self.layer, Layer) else 0
        settings = sampler.temperature, int(sampler.top_k), sampler.top_p, sampler.min_p
        for first in range(0, len(ids), _SYMBOLS_PER_CALL):
            count = min(_SYMBOLS_PER_CALL, len(ids) - first)
            addresses = excluded_address, draws_address + 8 * first, ids_address + 8 * first
            written = self._writer.generate(address(state), capacity, address(y), count, *settings, *addresses, threads)
            if written < count:
                sampler.probabilities(np.where(is_excluded, -np.inf, self.score(y)))  # raises the error
                return ids[: first + written].tolist()
        return ids.tolist()

    @functools.cached_property
    def _writer(self) -> Any:
        table = np.ascontiguousarray(self.embedding.weight, np.float32)
        if not isinstance(self.layer, Layer):
            raise TypeError(f"expected a native layer, got {self.layer.signature}, which generates step by step only")
        projection = None if self.projection is None else self.projection.native
        return library.TokenGenerator(address(table), len(table), self.layer.native, projection, self.head.native)

    def score(self, outputs: Array) -> Array:
        """The layer's outputs `[…, H]` → logits of the next symbol `[…, V]`."""
        return self.head(outputs if self.projection is None else self.projection(outputs))
