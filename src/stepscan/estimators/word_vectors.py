"""Published word vectors for a model: read once, before its vocabulary is whole."""

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
_OTHERS = 100_000


@dataclass(frozen=True)
class WordVectors:
    """Vectors of the training data's words, and of the most frequent others.

    Args:
        source: where they are from: a file or a name.
        vectors: word → vector.
        size: numbers a vector.
        wanted: how many symbols of the training data were looked for, and
        known: how many of them have a vector.
    """

    source: str | Path
    vectors: Mapping[str, np.ndarray]
    size: int
    wanted: int
    known: int

    @classmethod
    def read(cls, source: str | Path, tokenizers: Iterable[TextTokenizer]) -> WordVectors:
        """Those of the symbols of some tokenizers.

        Raises:
            DataError, StepscanError: see `read_vectors`.
            SettingsError: there are none of these symbols.
        """
        words = {word for tokenizer in tokenizers for word in _words(tokenizer)}
        vectors, size = read_vectors(source, words | set(map(str.lower, words)), _OTHERS)
        known = sum(_found(vectors, word) is not None for word in words)
        if not known:
            raise SettingsError(
                f"{source} has none of the {len(words):,} symbols of the training data; is it this language?"
            )
        return cls(source, vectors, size, len(words), known)

    def extended(self, tokenizer: TextTokenizer) -> TextTokenizer:
        """The tokenizer with the vectors' words after its own, where its tokens are words."""
        return tokenizer.extended(self.vectors) if tokenizer.drops_space else tokenizer

    def check_size(self, size: int | None) -> None:
        """Raise unless a model whose embedding begins with these vectors may have their size."""
        if size not in (self.size, None):
            raise SettingsError(
                f"{self.source} has {self.size} numbers a word, so embedding_size must be {self.size}, not {size}"
            )

    @torch.no_grad()
    def put(self, embedding: Embedding, tokenizer: TextTokenizer) -> None:
        """Give each symbol of an embedding its vector: beside the trained one, or that one to begin with."""
        table = embedding.weight if embedding.weight_given is None else embedding.weight_given
        for row, word in enumerate(_words(tokenizer)):
            vector = _found(self.vectors, word)
            if vector is not None:
                table[row] = torch.from_numpy(vector)

    def __str__(self) -> str:
        return f"{self.source} has vectors of {self.known:,} of the {self.wanted:,} symbols of the training data"


def _words(tokenizer: TextTokenizer) -> list[str]:
    """What each symbol says: of byte pairs, the text that they stand for, without the space before it."""
    if tokenizer.kind != "bpe":
        return tokenizer.tokens
    return [tokenizer.decode([id]).strip() for id in range(len(tokenizer))]


def _found(vectors: Mapping[str, np.ndarray], word: str) -> np.ndarray | None:
    """A word's vector, or that of the word in lower case."""
    return vectors.get(word, vectors.get(word.lower()))
