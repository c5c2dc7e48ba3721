"""Features of each token of a sentence: how it is written, and what stands around it.

Of a token: the word, its beginnings and endings, its shape (as `Xxx-dd`); of the two tokens on either side: the word,
and of the nearest its ending and shape; and the pairs of the token with either neighbour. A feature is known by a hash
of 63 bits. What is a token's own is worked out once for each distinct token. Needs NumPy alone.

Dimension letters: N tokens, U distinct tokens, S features that a token may have, F all that are known.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from stepscan.runtime.batches import Array
from stepscan.runtime.wide.sparse import Rows
from stepscan.runtime.wide.substring_hashes import Hashes, code_points, mixed

_LONGEST = 5  # characters of beginnings and endings
_ENDING = 3  # of the neighbours'
_OFFSETS = (-2, -1, 1, 2)
_LARGEST = 2**23  # features in a file
_OUTSIDE = np.uint64(1)  # stands for the token before the first and after the last
_MARKS = {"Lu": "X", "Lt": "X", "Ll": "x", "Nd": "d"}  # of the categories of characters in a shape


class _Kinds(NamedTuple):
    """What distinct tokens are by themselves: hashes, 0 for a feature that one lacks; the last row is of no token."""

    own: Array  # [U + 1, S] uint64
    around: Array  # [U + 1, S] of which its neighbours see the first, or all
    words: Array  # [U + 1] without case


class TokenFeatures:
    """Features of the tokens of sentences.

    Args:
        keys: the hashes of those that are known, int64, ascending.
    """

    def __init__(self, keys: Array) -> None:
        self._keys = keys

    @property
    def size(self) -> int:
        """F, how many features there are."""
        return len(self._keys)

    @classmethod
    def learn(cls, sentences: Sequence[Sequence[str]], most: int = 2**19, least: int = 1) -> Self:
        """The features that tokens of `sentences` have.

        Args:
            sentences: of the training data.
            most: features at most; the most frequent are kept.
            least: tokens that must have a feature.
        """
        found = [np.zeros(0, np.int64)]
        counts = [np.zeros(0, np.int64)]
        for keys, of in _blocks(sentences):
            some, places = np.unique(keys, return_inverse=True)
            totals = np.bincount(places.reshape(-1), np.repeat(_counts(of, len(keys)), keys.shape[1]), len(some))
            found.append(some[some > 0])
            counts.append(totals[some > 0].astype(np.int64))
        keys, number = np.concatenate(found), np.concatenate(counts)
        keys, number = keys[number >= least], number[number >= least]
        return cls(np.sort(keys[np.argsort(-number, kind="stable")[:most]]))

    def matrix(self, sentences: Sequence[Sequence[str]]) -> Rows:
        """The features of each token, one sentence after the other: N rows."""
        places = [np.zeros((sum(map(len, sentences)), 0), np.int64)]
        places += [self._places(keys)[of] for keys, of in _blocks(sentences)]
        columns = np.concatenate(places, axis=1)
        known = columns >= 0
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(known.sum(axis=1))])
        return Rows(indptr, columns[known], np.ones(indptr[-1], np.float32))

    def _places(self, keys: Array) -> Array:
        """Of each feature its place among those known, or −1."""
        if not len(self._keys):
            return np.full(keys.shape, -1)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[places] == keys, places, -1)

    # Storage ----------------------------------------------------------------------------------------------------------

    def description(self) -> dict[str, Any]:
        """What `from_tensors` needs beside the tensors, as JSON can say it."""
        return {"name": "token_features", "features": len(self._keys)}

    def tensors(self) -> dict[str, Array]:
        """The hashes of the features, ascending."""
        return {"keys": self._keys}

    @classmethod
    def from_tensors(cls, description: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """What `description` and `tensors` told.

        Raises:
            ValueError: the tensors are not those of the description.
        """
        if set(description) != {"name", "features"}:
            raise ValueError(f"expected token_features with features, got {', '.join(sorted(map(str, description)))}")
        if set(tensors) != {"keys"}:
            raise ValueError(f"expected the tensor keys, got {', '.join(sorted(tensors)) or 'none'}")
        size, keys = description["features"], tensors["keys"]
        if type(size) is not int or not 0 <= size <= _LARGEST:
            raise ValueError(f"features: expected a whole number from 0 to {_LARGEST}, got {size!r:.60}")
        if keys.shape != (size,) or keys.dtype != np.int64:
            raise ValueError(f"keys: expected int64 [{size}], got {keys.dtype} {list(keys.shape)}")
        if len(keys) and not (keys[0] > 0 and (keys[:-1] < keys[1:]).all()):
            raise ValueError("keys: expected hashes above 0 in ascending order")
        return cls(keys)


def _blocks(sentences: Sequence[Sequence[str]]) -> list[tuple[Array, Array]]:
    """Features, and which row of them each token has: `[rows, S]` int64, 0 for none, and `[N]`."""
    number: dict[str, int] = {}
    kinds = np.array([number.setdefault(token, len(number)) for one in sentences for token in one], np.int64)
    lengths = np.array([len(one) for one in sentences], np.int64)
    found, nothing = _kinds(list(number)), len(number)
    place = np.arange(len(kinds)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    left = np.repeat(lengths, lengths) - 1 - place  # tokens that follow in the sentence
    blocks = [(_keyed(found.own, 0), kinds)]
    for offset in _OFFSETS:
        inside = place + offset >= 0 if offset < 0 else left >= offset
        others = np.where(inside, np.roll(kinds, -offset), nothing)
        seen = found.around if abs(offset) == 1 else found.around[:, :1]
        blocks.append((_keyed(seen, offset), others))
        if abs(offset) == 1:
            pairs = mixed(found.words[kinds] + np.uint64(offset + 2)) + found.words[others]
            blocks.append((_keyed(pairs[:, None], 10 + offset), np.arange(len(kinds))))
    return blocks


def _counts(rows: Array, size: int) -> Array:
    return np.bincount(rows, minlength=size)


def _keyed(hashes: Array, block: int) -> Array:
    """Hashes of 63 bits, which differ by block and column; 0 stays 0."""
    columns = mixed(np.arange(hashes.shape[1], dtype=np.uint64) + np.uint64(1000 * (block + 100)))
    keys = np.maximum(mixed(hashes ^ columns) >> np.uint64(1), np.uint64(1))
    return np.where(hashes > 0, keys, np.uint64(0)).view(np.int64)


# What a token is by itself --------------------------------------------------------------------------------------------


def _kinds(tokens: Sequence[str]) -> _Kinds:
    words = _Pieces([token.lower() for token in tokens])
    shapes = _Pieces(["".join(map(_mark, token)) for token in tokens])
    short = _Pieces(["".join(_runs(shape)) for shape in shapes.texts])
    whole = _Pieces(tokens).beginnings(None)
    ends = [words.endings(length) for length in range(1, _LONGEST + 1)]
    begins = [words.beginnings(length) for length in range(1, _LONGEST + 1)]
    signs = [np.array([sign in shape for shape in shapes.texts], np.uint64) for sign in ("d", "-", "X")]
    own = [whole, words.beginnings(None), shapes.beginnings(None), short.beginnings(None), *begins, *ends, *signs]
    around = [words.beginnings(None), words.endings(_ENDING), short.beginnings(None)]
    outside = np.zeros((1, len(around)), np.uint64)
    outside[0, 0] = _OUTSIDE
    return _Kinds(
        np.concatenate([np.stack(own, axis=1), np.zeros((1, len(own)), np.uint64)]),
        np.concatenate([np.stack(around, axis=1), outside]),
        np.append(words.beginnings(None), _OUTSIDE),
    )


class _Pieces:
    """Hashes of the beginnings and endings of texts; 0 where a text is no longer than the piece."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self._hashes = Hashes(code_points("".join(texts)))
        self._lengths = np.array([len(text) for text in texts], np.int64)
        self._ends = np.cumsum(self._lengths)

    def beginnings(self, length: int | None) -> Array:
        """The first `length` characters; None: all of them."""
        begin = self._ends - self._lengths
        if length is None:
            return np.maximum(self._hashes.of(begin, self._ends), np.uint64(2))
        return self._cut(begin, begin + length, length)

    def endings(self, length: int) -> Array:
        return self._cut(self._ends - length, self._ends, length)

    def _cut(self, begin: Array, end: Array, length: int) -> Array:
        found, enough = np.zeros(len(begin), np.uint64), self._lengths >= length
        found[enough] = np.maximum(self._hashes.of(begin[enough], end[enough]), np.uint64(2))
        return found


_SHAPES: dict[str, str] = {}  # of characters that were seen


def _mark(character: str) -> str:
    """What stands for a character in a shape: itself, if it is neither a letter nor a digit."""
    found = _SHAPES.get(character)
    if found is None:
        category = unicodedata.category(character)
        found = _SHAPES[character] = _MARKS.get(category, "l" if category[0] in "LM" else character)
    return found


def _runs(shape: str) -> list[str]:
    return [one for one, before in zip(shape, f" {shape}", strict=False) if one != before]
