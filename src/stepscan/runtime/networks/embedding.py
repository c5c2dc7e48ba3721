"""Input maps: from rows of ids or numbers to batches of vectors, and for one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.runtime.batches import Array, Batch, Words, pad, pad_numbers
from stepscan.runtime.networks.tensors import Tensors, build_part


class Embedding:
    """A vector for each symbol of a vocabulary.

    Args:
        tensors: `weight [V − others, E]`, and if there is a G `weight_given [V, G]`.
        vocabulary_size: V.
        size: E, numbers a vector.
        dropout, word_dropout, unknown, embedding_dropout: for training alone.
        given: G, numbers of a symbol that were not trained, behind those that were.
        others: how many of the last symbols have the trained numbers of `unknown`.
    """

    def __init__(
        self,
        tensors: Tensors,
        vocabulary_size: int,
        size: int,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        unknown: int = 1,
        embedding_dropout: float = 0.0,
        given: int = 0,
        others: int = 0,
    ) -> None:
        self.vocabulary_size, self.output_size = vocabulary_size, size + given
        self.weight = tensors.array("weight", vocabulary_size - others, size)
        self._given = tensors.array("weight_given", vocabulary_size, given) if given else None
        self._unknown = unknown

    def __call__(self, rows: Batch | Sequence[Any]) -> Batch:
        """Rows of ids, or a batch `[B, T]` of them → vectors `[B, T, E + G]`.

        Raises:
            ValueError: an id is not in the vocabulary.
        """
        ids = (rows if isinstance(rows, Batch) else pad(rows)).zeroed()
        if ids.data.size and not 0 <= ids.data.min() <= ids.data.max() < self.vocabulary_size:
            raise ValueError(
                f"ids: expected 0 … {self.vocabulary_size - 1}, got {ids.data.min()} … {ids.data.max()}; "
                "were they made by another tokenizer?"
            )
        return Batch(self.step(ids.data), ids.lengths)

    def step(self, ids: Array) -> Array:
        """Ids `[…]` → vectors `[…, E + G]`."""
        if self._given is None:
            return self.weight.take(ids, axis=0)
        trained = np.where(ids < len(self.weight), ids, self._unknown)
        return np.concatenate([self.weight.take(trained, axis=0), self._given.take(ids, axis=0)], axis=-1)


class NumericEmbedding:
    """Standardises each dimension, in float64, and projects: `x_t → W ((x_t − mean) / deviation) + b`.

    Args:
        tensors: `mean` and `deviation [D]` of float64, `projection`.
        size: D, dimensions of a step.
        output_size: E, of the projection; None gives the D standardised numbers themselves.
        dropout, noise: for training alone.
    """

    def __init__(
        self, tensors: Tensors, size: int, output_size: int | None = None, dropout: float = 0.0, noise: float = 0.0
    ) -> None:
        self.size, self.output_size = size, output_size or size
        self.mean = tensors.array("mean", size, dtype=np.float64)
        self.deviation = tensors.array("deviation", size, dtype=np.float64)
        self.projection = tensors.linear("projection", size, output_size) if output_size else None

    def __call__(self, rows: Batch | Sequence[Array]) -> Batch:
        """Series `[T, D]`, or a batch `[B, T, D]` of them → vectors `[B, T, E]`."""
        batch = (rows if isinstance(rows, Batch) else pad_numbers(rows)).zeroed()
        return Batch(self.step(batch.data), batch.lengths)

    def step(self, x: Array) -> Array:
        """Numbers `[…, D]` → vectors `[…, E]`."""
        return self.projected(self.standardised(x))

    def standardised(self, x: Array) -> Array:
        """`(x − mean) / deviation`, taken in float64 and given in float32."""
        with np.errstate(over="ignore", invalid="ignore"):  # too large a number is infinite, as with torch
            return ((x.astype(np.float64) - self.mean) / self.deviation).astype(np.float32)

    def projected(self, x: Array) -> Array:
        """Standardised numbers `[…, D]` → vectors `[…, E]`."""
        return x if self.projection is None else self.projection(x)


class WordAndCharacterEmbedding:
    """A word's own vector beside one made of its characters by a recurrent encoder (Lample et al. 2016, §4.1).

    Args:
        tensors: of its parts.
        words: the embedding of words, described.
        characters: the embedding of characters, described.
        spelling: a layer over a word's characters, described; its readout is the word's second vector.
        dropout: for training alone.
    """

    def __init__(self, tensors: Tensors, words: Any, characters: Any, spelling: Any, dropout: float = 0.0) -> None:
        self.words: Embedding = build_part(SYMBOLS, words, tensors.inside("words"))
        self.characters: Embedding = build_part(SYMBOLS, characters, tensors.inside("characters"))
        self.spelling = tensors.layer("spelling", spelling)
        self.output_size = self.words.output_size + self.spelling.output_size

    def __call__(self, rows: Words) -> Batch:
        """Words `[B, T]` → vectors `[B, T, E + S]`."""
        vectors = [self._read(spellings) for spellings in rows.spellings]
        by_spelling = np.concatenate(vectors).take(rows.spelling_of, axis=0)
        words, lengths = self.words(rows.words)
        return Batch(np.concatenate([words, by_spelling], axis=2), lengths)

    def _read(self, spellings: Batch) -> Array:
        """Spellings `[U, C]` → their vectors `[U, S]`."""
        return self.spelling.readout(self.spelling.scan(*self.characters(spellings))[1])


class Vectors:
    """In place of an embedding where there is none: the rows are vectors already."""

    def __call__(self, rows: Batch | Sequence[Array]) -> Batch:
        """Rows of vectors `[T, I]`, or a batch `[B, T, I]` of them → the same in float32."""
        data, lengths = rows if isinstance(rows, Batch) else pad_numbers(rows)
        return Batch(np.ascontiguousarray(data, dtype=np.float32), lengths)

    def step(self, x: Array) -> Array:
        """Vectors `[…, I]` in float32."""
        return np.ascontiguousarray(x, dtype=np.float32)


SYMBOLS = {"embedding": Embedding}
INPUTS = {**SYMBOLS, "numbers": NumericEmbedding, "word_and_character_embedding": WordAndCharacterEmbedding}


def build_embedding(description: Any, tensors: Tensors) -> Any:
    """The input map that is described; None is that of vectors."""
    return Vectors() if description is None else build_part(INPUTS, description, tensors)
