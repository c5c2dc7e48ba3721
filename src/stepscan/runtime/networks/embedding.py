"""Embeddings: from rows of ids or values to batches of vectors, and for one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.runtime.batches import Array, Batch, Words, pad, pad_numbers
from stepscan.runtime.networks.tensors import Tensors, build_module


class Embedding:
    """A vector for each symbol of a vocabulary.

    Args:
        tensors: `weight [V − others, E]`, and `weight_given [V, G]` if G > 0.
        vocabulary_size: V.
        size: E, dimensions of a trained vector.
        dropout, word_dropout, embedding_dropout: ignored, for training only.
        unknown: id of the unknown symbol.
        given: G, dimensions of fixed, pretrained vectors, concatenated to the trained ones.
        others: the number of symbols, last in the vocabulary, whose trained vector is that of `unknown`.
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
        self._pretrained = tensors.array("weight_given", vocabulary_size, given) if given else None
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
        if self._pretrained is None:
            return self.weight.take(ids, axis=0)
        trained = np.where(ids < len(self.weight), ids, self._unknown)
        return np.concatenate([self.weight.take(trained, axis=0), self._pretrained.take(ids, axis=0)], axis=-1)


class NumericEmbedding:
    """Standardises each dimension, in float64, and projects: `x_t → W ((x_t − mean) / deviation) + b`.

    Args:
        tensors: `mean` and `deviation [D]` in float64, and `projection`.
        size: D, dimensions of a step.
        output_size: E, of the projection; None for no projection, E = D.
        dropout, noise: ignored, for training only.
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
        """Values `[…, D]` → vectors `[…, E]`."""
        return self.projected(self.standardised(x))

    def standardised(self, x: Array) -> Array:
        """`(x − mean) / deviation`, computed in float64 and returned in float32."""
        with np.errstate(over="ignore", invalid="ignore"):  # overflow gives infinity, as in torch
            return ((x.astype(np.float64) - self.mean) / self.deviation).astype(np.float32)

    def projected(self, x: Array) -> Array:
        """Standardised values `[…, D]` → vectors `[…, E]`."""
        return x if self.projection is None else self.projection(x)


class WordAndCharacterEmbedding:
    """A word's vector, concatenated with an encoding of its characters by a recurrent layer (Lample et al. 2016, §4.1).

    Args:
        tensors: its tensors.
        words: description of the embedding of words.
        characters: description of the embedding of characters.
        spelling: description of a layer over a word's characters, whose readout encodes the word.
        dropout: ignored, for training only.
    """

    def __init__(self, tensors: Tensors, words: Any, characters: Any, spelling: Any, dropout: float = 0.0) -> None:
        self.words: Embedding = build_module(SYMBOLS, words, tensors.scope("words"))
        self.characters: Embedding = build_module(SYMBOLS, characters, tensors.scope("characters"))
        self.spelling = tensors.layer("spelling", spelling)
        self.output_size = self.words.output_size + self.spelling.output_size

    def __call__(self, rows: Words) -> Batch:
        """Words `[B, T]` → vectors `[B, T, E + S]`."""
        readouts = [self._encode(spellings) for spellings in rows.spellings]
        encodings = np.concatenate(readouts).take(rows.spelling_of, axis=0)
        words, lengths = self.words(rows.words)
        return Batch(np.concatenate([words, encodings], axis=2), lengths)

    def _encode(self, spellings: Batch) -> Array:
        """Characters of words `[U, C]` → encodings `[U, S]`."""
        return self.spelling.readout(self.spelling.scan(*self.characters(spellings))[1])


class Identity:
    """In place of an embedding, if the inputs are vectors."""

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
    """The embedding with this description; `Identity` for None."""
    return Identity() if description is None else build_module(INPUTS, description, tensors)
