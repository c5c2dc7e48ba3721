"""Word vectors in text: `word number number …` a line, as GloVe writes them; word2vec's first line says how many."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from stepscan.data.lines import read_lines
from stepscan.errors import DataError


def read_vectors(path: str | Path, wanted: Collection[str]) -> tuple[dict[str, np.ndarray], int]:
    """The vectors of the words that are wanted, and how many numbers a vector has; gzip too.

    Only wanted vectors are kept, so that memory is that of the vocabulary. A word may hold spaces (some of GloVe's do).

    Raises:
        DataError: a line holds no vector of the size of the first, or the file holds none; its line is named.
    """
    found: dict[str, np.ndarray] = {}
    size = 0
    for number, line in read_lines(path):
        parts = line.rstrip(" \t\r").split(" ")
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            continue  # word2vec: how many words, how many numbers
        size = size or len(parts) - 1
        if size < 1 or len(parts) <= size:
            raise DataError(
                f"expected a word and {max(size, 1)} numbers with a space between, got {line[:60]!r}",
                path=path,
                line=number,
            )
        word = " ".join(parts[:-size])
        if word in wanted and word not in found:
            found[word] = _numbers(parts[-size:], path, number)
    if not size:
        raise DataError("there are no vectors in it", path=path)
    return found, size


def _numbers(parts: list[str], path: str | Path, number: int) -> np.ndarray:
    try:
        vector = np.array([float(part) for part in parts], dtype=np.float32)
    except ValueError as error:
        raise DataError(f"expected {len(parts)} numbers after the word: {error}", path=path, line=number) from None
    if not np.isfinite(vector).all():
        raise DataError("a vector has a number that is not finite", path=path, line=number)
    return vector
