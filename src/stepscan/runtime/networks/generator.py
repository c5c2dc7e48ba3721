"""Generator, the unfold: a sequence out of an initial state, each output the next input."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.decoding import Sampler
from stepscan.errors import ModelFormatError, nearest
from stepscan.kernels.native import library
from stepscan.runtime.batches import PLACES, Array, Batch
from stepscan.runtime.layers import Layer, Linear, address
from stepscan.runtime.networks.decoder import build_decoder
from stepscan.runtime.networks.embedding import SYMBOLS, Embedding
from stepscan.runtime.networks.tensors import Tensors, build_part
from stepscan.state import State

INITIAL = ("zero", "learned")
_AT_ONCE = 512  # symbols that are written inside the native library before Python looks for signals, such as Ctrl-C


class Generator:
    """Predicts the next symbol from those so far; generates by feeding back what was chosen.

    Args:
        tensors: of its parts; `start` where the initial state is learned, `bias [V]` where the weights are tied.
        embedding: ids → vectors, described; its vocabulary is what is generated.
        layer: causal, described.
        initial: `zero` (the layer's own initial state) or `learned` (a vector that `layer.condition` cuts).
        tie_weights: whether the output weights are the embedding's. Where layer and embedding differ in width, a
            projection is between them.
        dropout, label_smoothing, activation_regularisation, temporal_activation_regularisation: for training alone.
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
            raise ModelFormatError(f"unknown initial state {initial!r}.{nearest(str(initial), INITIAL)}")
        self.embedding: Embedding = build_part(SYMBOLS, embedding, tensors.inside("embedding"))
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
        """The state of so many rows before the first symbol."""
        if self.start is None:
            return self.layer.initial_state(rows)
        return self.layer.condition(np.repeat(self.start[None], rows, axis=0))

    def scan(self, rows: Batch | Sequence[Any], state: State | None = None) -> tuple[Array, Array, State]:
        """Rows of ids, or a batch `[B, T]` of them → scores of the next symbols `[B, T, V]`, before any softmax, the
        rows' lengths `[B]`, and the final state."""
        vectors, lengths = self.embedding(rows)
        state = self.initial_state(len(lengths)) if state is None else state
        outputs, state = self.layer.scan(vectors, lengths, state)
        scores = Batch(self.score(outputs), lengths).zeroed()
        return scores.data, lengths, state

    def step(self, ids: Array, state: State) -> tuple[Array, State]:
        """One symbol a row `[B]` and a state → scores of the next `[B, V]` and the next state."""
        y, state = self.layer.step(self.embedding.step(ids), state)
        return self.score(y), state

    def read(self, ids: Sequence[int]) -> tuple[State, Array]:
        """Read ids, at least one, from the initial state → the state and the layer's last output `[1, H]`."""
        state = self.initial_state(1)
        for first in range(0, len(ids), PLACES):
            outputs, state = self.layer.scan(*self.embedding([ids[first : first + PLACES]]), state)
        return state, outputs[:, -1].copy()

    def write(
        self, state: Array, y: Array, draws: Array, sampler: Sampler, excluded: Sequence[int], threads: int
    ) -> list[int]:
        """Choose a symbol, read it, choose the next, …, all of it inside the native library.

        Args:
            state: of one row `[1, S]`, with room for the draws, and y `[1, H]`, the layer's last output. Both are
                changed: at the end they are those after the last symbol.
            draws: a number in [0, 1) for each symbol, float64 `[N]`.
            sampler: how each is chosen.
            excluded: ids that are not written.
            threads: at most.

        Returns:
            N ids.

        Raises:
            StepscanError: scores are no finite numbers, or every symbol is excluded.
        """
        never = np.zeros(self.embedding.vocabulary_size, np.uint8)
        never[list(excluded)] = 1
        ids = np.empty(len(draws), np.int64)
        arrays: list[Array] = [np.ascontiguousarray(draws, np.float64), never, ids]
        draws_at, never_at, ids_at = map(address, arrays)
        room = self.layer.capacity(state)
        how = sampler.temperature, int(sampler.top_k), sampler.top_p, sampler.min_p
        for first in range(0, len(ids), _AT_ONCE):
            count, places = min(_AT_ONCE, len(ids) - first), (draws_at + 8 * first, ids_at + 8 * first)
            written = self._writer.generate(address(state), room, address(y), count, *how, never_at, *places, threads)
            if written < count:
                sampler.probabilities(np.where(never, -np.inf, self.score(y)))  # says what is wrong with the scores
                return ids[: first + written].tolist()
        return ids.tolist()

    @functools.cached_property
    def _writer(self) -> Any:
        table = np.ascontiguousarray(self.embedding.weight, np.float32)
        if not isinstance(self.layer, Layer):
            raise TypeError(f"only native layers write on their own, but this is {self.layer.described}")
        projection = None if self.projection is None else self.projection.native
        return library.TokenGenerator(address(table), len(table), self.layer.native, projection, self.head.native)

    def score(self, outputs: Array) -> Array:
        """The layer's outputs `[…, H]` → scores of the next symbol `[…, V]`."""
        return self.head(outputs if self.projection is None else self.projection(outputs))
