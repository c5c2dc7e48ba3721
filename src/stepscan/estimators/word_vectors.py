"""Pretrained word vectors for a model: read once, before its vocabulary is complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stepscan.data.tokenizers import TextTokenizer
from stepscan.data.vectors import read_vectors
from stepscan.errors import SettingsError
from stepscan.patterns.embedding import Embedding

# Words that only the vectors have, kept for later texts: the most frequent. Of GloVe's 400,000 they leave unknown 1.6 %
# of the words of SST-2's test data, where all would leave 0.7 % and none 5.7 %; 20 MB of a model folder.
_EXTRA_WORDS = 100_000


@dataclass(frozen=True)
class WordVectors:
    """Vectors of the training data's symbols, and of the most frequent other words.

    Args:
        source: the file or name that they are from.
        vectors: word → vector `[size]`.
        size: dimension of the vectors.
        symbols: number of symbols in the training data.
        matched: number of these that have a vector.
    """

    source: str | Path
    vectors: Mapping[str, np.ndarray]
    size: int
    symbols: int
    matched: int

    @classmethod
    def read(cls, source: str | Path, tokenizers: Iterable[TextTokenizer]) -> WordVectors:
        """Read the vectors of the symbols of some tokenizers.

        Raises:
            DataError, StepscanError: see `read_vectors`.
            SettingsError: none of the symbols has a vector.
        """
        symbols = {symbol for tokenizer in tokenizers for symbol in _symbol_texts(tokenizer)}
        vectors, size = read_vectors(source, symbols | set(map(str.lower, symbols)), _EXTRA_WORDS)
        matched = sum(_lookup(vectors, symbol) is not None for symbol in symbols)
        if not matched:
            raise SettingsError(
                f"{source} has none of the {len(symbols):,} symbols of the training data; is it this language?"
            )
        return cls(source, vectors, size, len(symbols), matched)

    def extended(self, tokenizer: TextTokenizer) -> TextTokenizer:
        """The tokenizer with the vectors' words after its own, if its tokens are words."""
        return tokenizer.extended(self.vectors) if tokenizer.drops_space else tokenizer

    def check_size(self, size: int | None) -> None:
        """Raise a `SettingsError` unless an embedding of this size can be initialised with the vectors."""
        if size not in (self.size, None):
            raise SettingsError(
                f"embedding_size: expected {self.size}, the dimension of the vectors of {self.source}, got {size}"
            )

    @torch.no_grad()
    def copy_to(self, embedding: Embedding, tokenizer: TextTokenizer) -> None:
        """Copy each symbol's vector into an embedding: into its fixed part, or without one into its weight."""
        table = embedding.weight if embedding.weight_given is None else embedding.weight_given
        for row, symbol in enumerate(_symbol_texts(tokenizer)):
            vector = _lookup(self.vectors, symbol)
            if vector is not None:
                table[row] = torch.from_numpy(vector)

    def __str__(self) -> str:
        return f"{self.source} has vectors of {self.matched:,} of the {self.symbols:,} symbols of the training data"


def _symbol_texts(tokenizer: TextTokenizer) -> list[str]:
    """The text of each symbol; for byte pairs without the space before it."""
    if tokenizer.kind != "bpe":
        return tokenizer.tokens
    return [tokenizer.decode([id]).strip() for id in range(len(tokenizer))]


def _lookup(vectors: Mapping[str, np.ndarray], word: str) -> np.ndarray | None:
    """The vector of a word, or of the word in lower case."""
    return vectors.get(word, vectors.get(word.lower()))
