"""Pretrained word vectors, from a text file or an installed package.

A file has `word value value …` per line, as GloVe writes it; word2vec's first line has the counts of words and values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from stepscan.data.lines import read_lines
from stepscan.data.vector_packages import Vectors, read_glove, read_glove_100d, read_wordllama
from stepscan.errors import DataError, SettingsError, nearest

_PACKAGES: dict[str, Callable[[Collection[str], int], Vectors]] = {
    "glove": read_glove,
    "glove-100d": read_glove_100d,
    "wordllama": read_wordllama,
}
VECTOR_NAMES = tuple(_PACKAGES)


def check_vectors(source: str | Path) -> None:
    """Check that `source` names an installed package of vectors, or a file.

    Raises:
        SettingsError: it is neither.
        StepscanError: the package is not installed; names the command that installs it.
    """
    name = str(source)
    if name in _PACKAGES:
        _PACKAGES[name]((), 0)
    elif not Path(source).exists():
        raise SettingsError(
            f"embeddings: expected {', '.join(_PACKAGES)} or a file of word vectors, got {name!r}, which is not a "
            f"file.{nearest(name, _PACKAGES)}"
        )


def read_vectors(source: str | Path, words: Collection[str], others: int = 0) -> Vectors:
    """Read the vectors of some words; memory is needed only for these.

    Args:
        source: a text file, gzip or plain, whose words may contain spaces (as some of GloVe's do); or the name of
            vectors: `glove` (GloVe 6B, 50 dimensions, lower-cased), `glove-100d` (100 dimensions) or `wordllama` (256
            dimensions; the vector of a word is the mean of those of its parts, so that every word has one).
        words: the words.
        others: the number of other words to add, in the order of the source: the most frequent, in published vectors.

    Returns:
        the vector of each word that has one, and the number of dimensions.

    Raises:
        DataError: a line is not a vector of the size of the first one, or the file has none.
        StepscanError: the package of these vectors is not installed.
    """
    read = _PACKAGES.get(str(source))
    return _read_file(source, words, others) if read is None else read(words, others)


def _read_file(path: str | Path, words: Collection[str], others: int) -> Vectors:
    vectors: dict[str, np.ndarray] = {}
    size = 0
    for number, line in read_lines(path):
        parts = line.rstrip(" \t\r").split(" ")
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            continue  # word2vec: the numbers of words and of dimensions
        size = size or len(parts) - 1
        if size < 1 or len(parts) <= size:
            reason = f"expected a word and {max(size, 1)} numbers separated by spaces, got {line[:60]!r}."
            raise DataError(reason, path=path, line=number)
        word = " ".join(parts[:-size])
        if word in vectors or not (others or word in words):
            continue
        vectors[word] = _parse_vector(parts[-size:], path, number)
        others -= word not in words
    if not size:
        raise DataError("expected word vectors, got none.", path=path)
    return vectors, size


def _parse_vector(parts: list[str], path: str | Path, line: int) -> np.ndarray:
    try:
        vector = np.array([float(part) for part in parts], dtype=np.float32)
    except ValueError as error:
        reason = f"expected {len(parts)} numbers after the word, got an error: {error}."
        raise DataError(reason, path=path, line=line) from None
    if not np.isfinite(vector).all():
        value = vector[~np.isfinite(vector)][0]
        raise DataError(f"expected a vector of finite numbers, got {value}.", path=path, line=line)
    return vector
