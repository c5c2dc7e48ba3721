"""N-gram features of texts: TF-IDF of word unigrams and bigrams and of character n-grams within words.

There are two blocks: words and pairs of words; and n-grams of 1 to 5 characters within a word and the spaces around it.
Each block of a text is scaled to a fixed norm, and then both together to norm 1 (Salton & Buckley 1988, with sublinear
term frequency 1 + log count). An n-gram is identified by a hash of 47 bits (feature hashing).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from stepscan.backends.batches import Array
from stepscan.wide.sparse import CSRMatrix
from stepscan.wide.substring_hashes import SubstringHashes, code_points, mix64

_SPACE = 32
_MAX_CHARACTERS = 5  # of a character n-gram
_BITS = np.int64(47)  # of a hash; the index of the text is in the bits above
_MASK = (np.int64(1) << _BITS) - 1
_TEXTS = 2**16  # in a batch, at most
_CHARACTERS = 2**18  # in a batch of more than one text, at most
_PENDING = 2**22  # hashes that are collected before counts are merged
_PAIR = np.uint64(0xD6E8FEB86659FD93)
_BLOCKS = ("words", "letters")
_BLOCK_NORMS = (0.5, 1.0)  # equal ones cost up to 2 points of accuracy on few texts of many classes


class _Vocabulary(NamedTuple):
    """The n-grams of one block."""

    keys: Array  # [F] int64, ascending, below 2⁴⁷
    idf: Array  # [F] float32


class NGramFeatures:
    """TF-IDF features of texts; `fit` makes one.

    Args:
        words, letters: the vocabularies of both blocks.
    """

    def __init__(self, words: _Vocabulary, letters: _Vocabulary) -> None:
        self._words, self._letters = words, letters
        self._idf = np.concatenate([words.idf, letters.idf]).astype(np.float64)

    @property
    def size(self) -> int:
        """F, the number of features."""
        return len(self._idf)

    @classmethod
    def fit(cls, texts: Sequence[str], max_features: int = 2**19, min_df: int = 1) -> Self:
        """The vocabulary of training texts and its inverse document frequencies.

        Args:
            texts: training texts.
            max_features: keep only those that occur in the most texts.
            min_df: minimum document frequency: texts that a feature must occur in.
        """
        counts = [_Counts(), _Counts()]
        for batch in _batches(texts):
            for count, ngrams in zip(counts, _ngrams(batch), strict=True):
                count.add(_unique(ngrams)[0] & _MASK)
        frequent = _most_frequent([count.merged(min_df) for count in counts], max_features)
        return cls(*(_vocabulary(keys, document_counts, len(texts)) for keys, document_counts in frequent))

    def transform(self, texts: Sequence[str]) -> CSRMatrix:
        """The features of each text, N rows."""
        parts = [self._transform_batch(batch) for batch in _batches(texts)]
        lengths = np.concatenate([np.zeros(1, np.int64), *(lengths for lengths, _, _ in parts)])
        columns = np.concatenate([np.zeros(0, np.int32), *(columns for _, columns, _ in parts)])
        values = np.concatenate([np.zeros(0, np.float32), *(values for _, _, values in parts)])
        return CSRMatrix(np.cumsum(lengths), columns, values)

    def _transform_batch(self, texts: Sequence[str]) -> tuple[Array, Array, Array]:
        """The number of nonzero features of each text, their columns, and their values."""
        words, letters = _ngrams(texts)
        blocks = _lookup(words, self._words.keys), _lookup(letters, self._letters.keys)
        rows, columns, counts = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        is_letter = np.arange(len(rows)) >= len(blocks[0][0])
        columns = columns + is_letter * len(self._words.keys)
        values = (1 + np.log(counts)) * self._idf[columns]
        values *= _scale(rows * 2 + is_letter, values, len(texts))
        order = np.argsort(rows, kind="stable")
        lengths = np.bincount(rows, minlength=len(texts))
        return lengths, columns[order].astype(np.int32), values[order].astype(np.float32)

    def description(self) -> dict[str, Any]:
        """Plain data for `config.json`, from which `from_tensors` rebuilds this with the tensors."""
        return {"name": "ngrams", "words": len(self._words.keys), "letters": len(self._letters.keys)}

    def tensors(self) -> dict[str, Array]:
        """The hashes of the n-grams, ascending in each block, and their inverse document frequencies."""
        blocks = zip(_BLOCKS, (self._words, self._letters), strict=True)
        return {f"{name}.{field}": array for name, block in blocks for field, array in block._asdict().items()}

    @classmethod
    def from_tensors(cls, description: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """The inverse of `description` and `tensors`.

        Raises:
            ValueError: the tensors do not match the description.
        """
        if set(description) != {"name", *_BLOCKS}:
            raise ValueError(f"expected ngrams with words and letters, got {', '.join(sorted(description))}")
        names = {f"{name}.{field}" for name in _BLOCKS for field in _Vocabulary._fields}
        if set(tensors) != names:
            raise ValueError(f"expected the tensors {', '.join(sorted(names))}, got {', '.join(sorted(tensors))}")
        return cls(*(_read_vocabulary(name, description[name], tensors) for name in _BLOCKS))


def _read_vocabulary(name: str, size: Any, tensors: Mapping[str, Array]) -> _Vocabulary:
    keys, idf = tensors[f"{name}.keys"], tensors[f"{name}.idf"]
    for field, array, dtype in (("keys", keys, np.int64), ("idf", idf, np.float32)):
        if type(size) is not int or array.shape != (size,) or array.dtype != dtype:
            expected = f"{np.dtype(dtype)} [{size}]"
            raise ValueError(f"{name}.{field}: expected {expected}, got {array.dtype} {list(array.shape)}")
    if len(keys) and not (keys[0] >= 0 and keys[-1] <= _MASK and (keys[:-1] < keys[1:]).all()):
        raise ValueError(f"{name}.keys: expected hashes of {_BITS} bits in ascending order, got others")
    if (idf < 1).any():
        raise ValueError(f"{name}.idf: expected weights of 1 or more, got others")
    return _Vocabulary(keys, idf)


def _lookup(ngrams: Array, keys: Array) -> tuple[Array, Array, Array]:
    """The n-grams of each text that are among `keys`: the text's index, the key's index, and the count."""
    distinct, counts = _unique(ngrams)
    hashes = distinct & _MASK
    indices = np.minimum(np.searchsorted(keys, hashes), max(0, len(keys) - 1))
    known = keys[indices] == hashes if len(keys) else np.zeros(len(hashes), bool)
    return distinct[known] >> _BITS, indices[known], counts[known]


def _scale(blocks: Array, values: Array, texts: int) -> Array:
    """The factor of each value, so that a text's blocks have the norms `_BLOCK_NORMS`, and then both together norm 1.

    Args:
        blocks: the block of each value: twice the index of the text, plus 1 for letters.
        values: TF-IDF.
        texts: their number.
    """
    squares = np.bincount(blocks, values**2, 2 * texts)
    norms = np.tile(_BLOCK_NORMS, texts) * (squares > 0)
    total = np.sqrt(np.square(norms).reshape(-1, 2).sum(axis=1)).repeat(2)
    return norms[blocks] / (np.sqrt(squares) * total)[blocks]


# Hashes ---------------------------------------------------------------------------------------------------------------


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in batches."""
    first = size = 0
    for index, text in enumerate(texts):
        if size and (size + len(text) > _CHARACTERS or index - first == _TEXTS):
            yield texts[first:index]
            first, size = index, 0
        size += len(text) + 1
    if size:
        yield texts[first:]


def _ngrams(texts: Sequence[str]) -> tuple[Array, Array]:
    """All n-grams of words and of letters, with repetitions: hashes, and the text's index in the bits above."""
    spaced = [_normalised(text) for text in texts]
    codes = code_points("".join(spaced))
    lengths = np.fromiter(map(len, spaced), np.int64, len(spaced))
    text_index = np.repeat(np.arange(len(texts)) << _BITS, lengths)
    hashes = SubstringHashes(codes)
    return _words(codes, text_index, hashes), _letters(codes, text_index, hashes)


def _normalised(text: str) -> str:
    """The case-folded text, with two spaces of its own around each word."""
    words = unicodedata.normalize("NFC", text.casefold()).split()
    return f" {'  '.join(words)} " if words else ""


def _tag(texts: Array, hashes: Array) -> Array:
    """Hashes of `_BITS` bits with the shifted index of their text."""
    return texts | (mix64(hashes) >> np.uint64(64 - _BITS)).view(np.int64)


def _words(codes: Array, text_index: Array, hashes: SubstringHashes) -> Array:
    """Words of at least two characters, and bigrams of them."""
    in_word = np.zeros(len(codes) + 2, np.int8)
    in_word[1:-1] = _is_letter(codes)
    edges = np.diff(in_word)
    (begin,), (end,) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    long = end - begin > 1
    words, texts = hashes.between(begin[long], end[long]), text_index[begin[long]]
    same_text = texts[1:] == texts[:-1]
    pairs = (words[:-1] * _PAIR + mix64(words[1:]))[same_text]
    return _tag(np.concatenate([texts, texts[1:][same_text]]), np.concatenate([words, pairs]))


def _letters(codes: Array, text_index: Array, hashes: SubstringHashes) -> Array:
    """Character n-grams of words, with the space before and the space after."""
    word_index = (np.cumsum(codes == _SPACE) - 1) // 2
    blocks = []
    for length in range(1, _MAX_CHARACTERS + 1):
        (begin,) = np.nonzero(word_index[: max(0, len(codes) - length + 1)] == word_index[length - 1 :])
        blocks.append(_tag(text_index[begin], hashes.between(begin, begin + length)))
    return np.concatenate(blocks)


_KINDS = np.zeros(0x110000, np.int8)  # cache by code point: 0 unknown, 1 part of a word, 2 not


def _is_letter(codes: Array) -> Array:
    """Whether each code point is part of a word: a letter, digit, combining mark or underscore."""
    for code in np.unique(codes[_KINDS[codes] == 0]).tolist():
        character = chr(code)
        is_word = character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
        _KINDS[code] = 1 if is_word else 2
    return _KINDS[codes] == 1


# Counts ---------------------------------------------------------------------------------------------------------------


class _Counts:
    """Document frequencies of n-grams."""

    def __init__(self) -> None:
        self._parts: list[tuple[Array, Array]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        self._pending = 0

    def add(self, keys: Array) -> None:
        """Count n-grams, one entry per n-gram and text."""
        self._parts.append(_unique(keys))
        self._pending += len(self._parts[-1][0])
        if self._pending > _PENDING:
            self._parts = [self.merged(1)]
            self._pending = 0

    def merged(self, min_count: int) -> tuple[Array, Array]:
        """The n-grams with at least this document frequency, ascending, and their document frequencies."""
        keys, counts = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        order = np.argsort(keys)
        distinct, repeats = _unique(keys[order])
        begin = np.cumsum(repeats) - repeats
        total = np.add.reduceat(counts[order], begin) if len(begin) else counts
        return distinct[total >= min_count], total[total >= min_count]


def _unique(values: Array) -> tuple[Array, Array]:
    """The distinct values, ascending, and their counts; ten times as fast as `np.unique`."""
    values = np.sort(values)
    is_first = np.ones(len(values), bool)
    is_first[1:] = values[1:] != values[:-1]
    (starts,) = np.nonzero(is_first)
    return values[starts], np.diff(starts, append=len(values))


def _most_frequent(blocks: Sequence[tuple[Array, Array]], max_features: int) -> list[tuple[Array, Array]]:
    """The `max_features` most frequent n-grams of both blocks together, in their blocks."""
    counts = np.concatenate([counts for _, counts in blocks])
    chosen = np.zeros(len(counts), bool)
    chosen[np.argsort(-counts, kind="stable")[:max_features]] = True
    parts = np.split(chosen, [len(blocks[0][0])])
    return [(keys[part], counts[part]) for (keys, counts), part in zip(blocks, parts, strict=True)]


def _vocabulary(keys: Array, counts: Array, texts: int) -> _Vocabulary:
    return _Vocabulary(keys, (np.log((1 + texts) / (1 + counts)) + 1).astype(np.float32))
