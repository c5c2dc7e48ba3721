"""Features of tokens for tagging: the form of each token, and its neighbours.

Of a token: the word, prefixes, suffixes and its shape (such as `Xxx-dd`); of the two tokens on either side: the word,
and of the adjacent ones a suffix and the shape; and the pairs of the token with each adjacent one (cf. Ratnaparkhi
1996). A feature is identified by a hash of 63 bits. Features of the form are computed once per distinct token. Needs
only NumPy.

Dimension letters: N tokens, U distinct tokens, S feature templates, F features.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from stepscan.backends.batches import Array
from stepscan.wide.sparse import CSRMatrix
from stepscan.wide.substring_hashes import SubstringHashes, code_points, mix64

_MAX_AFFIX = 5  # characters of prefixes and suffixes
_NEIGHBOUR_SUFFIX = 3  # characters
_OFFSETS = (-2, -1, 1, 2)
_MAX_FEATURES = 2**23  # in a file
_OUTSIDE = np.uint64(1)  # hash of the word before the first token and after the last
_SHAPE_SYMBOLS = {"Lu": "X", "Lt": "X", "Ll": "x", "Nd": "d"}  # by Unicode category


class _FormFeatures(NamedTuple):
    """Hashes of the features of distinct tokens, uint64, 0 for none; the last row is outside of the sentence."""

    own: Array  # [U + 1, S], for the token itself
    neighbour: Array  # [U + 1, S], for adjacent tokens; the first column also at distance 2
    words: Array  # [U + 1], lower case


class TokenFeatures:
    """Features of the tokens of sentences; `fit` makes one.

    Args:
        keys: `[F]`, the hashes of the features, int64, ascending.
    """

    def __init__(self, keys: Array) -> None:
        self._keys = keys

    @property
    def size(self) -> int:
        """F, the number of features."""
        return len(self._keys)

    @classmethod
    def fit(cls, sentences: Sequence[Sequence[str]], max_features: int = 2**19, min_count: int = 1) -> Self:
        """The features of the tokens of training sentences.

        Args:
            sentences: training sentences.
            max_features: keep only the most frequent ones.
            min_count: tokens that must have a feature.
        """
        all_keys = [np.zeros(0, np.int64)]
        all_counts = [np.zeros(0, np.int64)]
        for block, rows in _blocks(sentences):
            distinct, indices = np.unique(block, return_inverse=True)
            row_counts = np.bincount(rows, minlength=len(block))
            totals = np.bincount(indices.reshape(-1), np.repeat(row_counts, block.shape[1]), len(distinct))
            all_keys.append(distinct[distinct > 0])
            all_counts.append(totals[distinct > 0].astype(np.int64))
        keys, counts = np.concatenate(all_keys), np.concatenate(all_counts)
        keys, counts = keys[counts >= min_count], counts[counts >= min_count]
        return cls(np.sort(keys[np.argsort(-counts, kind="stable")[:max_features]]))

    def transform(self, sentences: Sequence[Sequence[str]]) -> CSRMatrix:
        """The features of the tokens of all sentences, concatenated: N rows of zeros and ones."""
        blocks = [np.zeros((sum(map(len, sentences)), 0), np.int64)]
        blocks += [self._columns(keys)[rows] for keys, rows in _blocks(sentences)]
        columns = np.concatenate(blocks, axis=1)
        known = columns >= 0
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(known.sum(axis=1))])
        return CSRMatrix(indptr, columns[known], np.ones(indptr[-1], np.float32))

    def _columns(self, keys: Array) -> Array:
        """The column of each feature, −1 for unknown ones."""
        if not len(self._keys):
            return np.full(keys.shape, -1)
        columns = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[columns] == keys, columns, -1)

    # Storage ----------------------------------------------------------------------------------------------------------

    def description(self) -> dict[str, Any]:
        """Plain data for `config.json`, from which `from_tensors` rebuilds this with the tensors."""
        return {"name": "token_features", "features": len(self._keys)}

    def tensors(self) -> dict[str, Array]:
        """The hashes of the features, ascending."""
        return {"keys": self._keys}

    @classmethod
    def from_tensors(cls, description: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """The inverse of `description` and `tensors`.

        Raises:
            ValueError: the tensors do not match the description.
        """
        if set(description) != {"name", "features"}:
            raise ValueError(f"expected token_features with features, got {', '.join(sorted(map(str, description)))}")
        if set(tensors) != {"keys"}:
            raise ValueError(f"expected the tensor keys, got {', '.join(sorted(tensors)) or 'none'}")
        size, keys = description["features"], tensors["keys"]
        if type(size) is not int or not 0 <= size <= _MAX_FEATURES:
            raise ValueError(f"features: expected a whole number from 0 to {_MAX_FEATURES}, got {size!r:.60}")
        if keys.shape != (size,) or keys.dtype != np.int64:
            raise ValueError(f"keys: expected int64 [{size}], got {keys.dtype} {list(keys.shape)}")
        if len(keys) and not (keys[0] > 0 and (keys[:-1] < keys[1:]).all()):
            raise ValueError("keys: expected hashes above 0 in ascending order, got others")
        return cls(keys)


def _blocks(sentences: Sequence[Sequence[str]]) -> list[tuple[Array, Array]]:
    """Blocks of features: hashes `[rows, S]` int64, 0 for none, and the row of each token `[N]`."""
    ids: dict[str, int] = {}
    tokens = np.array([ids.setdefault(token, len(ids)) for sentence in sentences for token in sentence], np.int64)
    lengths = np.array([len(sentence) for sentence in sentences], np.int64)
    features, outside = _form_features(list(ids)), len(ids)
    position = np.arange(len(tokens)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    following = np.repeat(lengths, lengths) - 1 - position  # tokens after this one in its sentence
    blocks = [(_block_keys(features.own, 0), tokens)]
    for offset in _OFFSETS:
        inside = position + offset >= 0 if offset < 0 else following >= offset
        neighbours = np.where(inside, np.roll(tokens, -offset), outside)
        hashes = features.neighbour if abs(offset) == 1 else features.neighbour[:, :1]
        blocks.append((_block_keys(hashes, offset), neighbours))
        if abs(offset) == 1:
            pairs = mix64(features.words[tokens] + np.uint64(offset + 2)) + features.words[neighbours]
            blocks.append((_block_keys(pairs[:, None], 10 + offset), np.arange(len(tokens))))
    return blocks


def _block_keys(hashes: Array, block: int) -> Array:
    """Hashes of 63 bits that depend on block and column; 0 stays 0."""
    columns = mix64(np.arange(hashes.shape[1], dtype=np.uint64) + np.uint64(1000 * (block + 100)))
    keys = np.maximum(mix64(hashes ^ columns) >> np.uint64(1), np.uint64(1))
    return np.where(hashes > 0, keys, np.uint64(0)).view(np.int64)


# Features of the form -------------------------------------------------------------------------------------------------


def _form_features(tokens: Sequence[str]) -> _FormFeatures:
    words = _Affixes([token.lower() for token in tokens])
    shapes = _Affixes(["".join(map(_shape_symbol, token)) for token in tokens])
    short_shapes = _Affixes(["".join(_without_repeats(shape)) for shape in shapes.texts])
    suffixes = [words.suffixes(length) for length in range(1, _MAX_AFFIX + 1)]
    prefixes = [words.prefixes(length) for length in range(1, _MAX_AFFIX + 1)]
    flags = [np.array([symbol in shape for shape in shapes.texts], np.uint64) for symbol in ("d", "-", "X")]
    forms = [_Affixes(tokens).whole(), words.whole(), shapes.whole(), short_shapes.whole()]
    own = [*forms, *prefixes, *suffixes, *flags]
    neighbour = [words.whole(), words.suffixes(_NEIGHBOUR_SUFFIX), short_shapes.whole()]
    outside = np.zeros((1, len(neighbour)), np.uint64)
    outside[0, 0] = _OUTSIDE
    return _FormFeatures(
        np.concatenate([np.stack(own, axis=1), np.zeros((1, len(own)), np.uint64)]),
        np.concatenate([np.stack(neighbour, axis=1), outside]),
        np.append(words.whole(), _OUTSIDE),
    )


class _Affixes:
    """Hashes of prefixes and suffixes of texts; 0 for a text that is shorter than the affix."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self._hashes = SubstringHashes(code_points("".join(texts)))
        self._lengths = np.array([len(text) for text in texts], np.int64)
        self._ends = np.cumsum(self._lengths)

    def whole(self) -> Array:
        """Hashes of the texts."""
        return np.maximum(self._hashes.between(self._ends - self._lengths, self._ends), np.uint64(2))

    def prefixes(self, length: int) -> Array:
        """Hashes of the first `length` characters."""
        begin = self._ends - self._lengths
        return self._affixes(begin, begin + length, length)

    def suffixes(self, length: int) -> Array:
        """Hashes of the last `length` characters."""
        return self._affixes(self._ends - length, self._ends, length)

    def _affixes(self, begin: Array, end: Array, length: int) -> Array:
        hashes, is_long = np.zeros(len(begin), np.uint64), self._lengths >= length
        hashes[is_long] = np.maximum(self._hashes.between(begin[is_long], end[is_long]), np.uint64(2))
        return hashes


@functools.cache
def _shape_symbol(character: str) -> str:
    """The symbol of a character in a shape: the character itself, unless it is a letter, a mark or a digit."""
    category = unicodedata.category(character)
    return _SHAPE_SYMBOLS.get(category, "l" if category[0] in "LM" else character)


def _without_repeats(shape: str) -> list[str]:
    return [symbol for symbol, previous in zip(shape, f" {shape}", strict=False) if symbol != previous]
