"""Word vectors: from a file of text, or by the name of an installed package of them.

A file has `word number number …` a line, as GloVe writes them; word2vec's first line says how many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from stepscan.data.lines import read_lines
from stepscan.data.vector_packages import read_glove, read_wordllama
from stepscan.errors import DataError, SettingsError, nearest

Vectors = tuple[dict[str, np.ndarray], int]  # word → vector, and how many numbers a vector has
_NAMED: dict[str, Callable[[Collection[str], int], Vectors]] = {"glove": read_glove, "wordllama": read_wordllama}


def check_vectors(source: str | Path) -> None:
    """Raise unless `source` is a name of vectors whose package is installed, or a file.

    Raises:
        SettingsError: it is neither.
        StepscanError: the package is not installed; says how to.
    """
    name = str(source)
    if name in _NAMED:
        _NAMED[name]((), 0)
    elif not Path(source).exists():
        raise SettingsError(
            f"embeddings: expected {' or '.join(_NAMED)}, or a file of word vectors, got {name!r}, which is not a "
            f"file.{nearest(name, _NAMED)}"
        )


def read_vectors(source: str | Path, wanted: Collection[str], first: int = 0) -> Vectors:
    """The vectors of the words that are wanted and of the `first` others, and how many numbers a vector has.

    No others are kept, so that memory is that of the vocabulary. A word may hold spaces (some of GloVe's do).

    Args:
        source: a file of text, gzip too, or the name of vectors: `glove` (GloVe 6B, 50 numbers a word, lower-cased) or
            `wordllama` (256 numbers; a word's vector is the mean of those of its parts, so that every word has one).
        wanted: words.
        first: how many of the words that are not wanted, in the order of the source: the most frequent, as published.

    Raises:
        DataError: a line holds no vector of the size of the first, or the file holds none; its line is named.
        StepscanError: the package of these vectors is not installed.
    """
    named = _NAMED.get(str(source))
    return _of_file(source, wanted, first) if named is None else named(wanted, first)


def _of_file(path: str | Path, wanted: Collection[str], first: int) -> Vectors:
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
        if word in found or not (first or word in wanted):
            continue
        found[word] = _numbers(parts[-size:], path, number)
        first -= word not in wanted
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
