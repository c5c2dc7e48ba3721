"""Features of a text: which words, pairs of words and pieces of words are in it, weighted by TF-IDF.

Words and pairs of words are one block, one to five letters within a word and the spaces around it another; each is
scaled to a length of its own, and then both together to 1 (Salton & Buckley 1988, with 1 + log of the counts).
An n-gram is known by a hash of 47 bits: a polynomial in its code points, so that one cumulative sum gives the hash of
any piece of a text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from stepscan.runtime.batches import Array
from stepscan.runtime.wide.sparse import Rows
from stepscan.runtime.wide.substring_hashes import Hashes, code_points, mixed

_SPACE = 32
_LONGEST = 5  # letters
_BITS = np.int64(47)  # of a hash: it and the place of a text are one int64
_MASK = (np.int64(1) << _BITS) - 1
_TEXTS = 2**16  # that are read together, at most, and …
_CHARACTERS = 2**18  # … how long they may be, unless it is one
_PENDING = 2**22  # hashes that are counted before they are merged
_PAIR = np.uint64(0xD6E8FEB86659FD93)
_BLOCKS = ("words", "letters")
_LENGTHS = (0.5, 1.0)  # of the blocks; equal ones cost up to 2 points where there are few texts of many classes


class _Vocabulary(NamedTuple):
    """The n-grams of one block."""

    keys: Array  # [F] int64, ascending, below 2⁴⁷
    idf: Array  # [F] float32


class NGrams:
    """TF-IDF of words, pairs of words, and of one to five letters.

    Args:
        words, letters: the n-grams of both blocks.
    """

    def __init__(self, words: _Vocabulary, letters: _Vocabulary) -> None:
        self._words, self._letters = words, letters
        self._idf = np.concatenate([words.idf, letters.idf]).astype(np.float64)

    @property
    def size(self) -> int:
        """F, how many features there are."""
        return len(self._idf)

    @classmethod
    def learn(cls, texts: Sequence[str], most: int = 2**19, least: int = 1) -> Self:
        """The n-grams of `texts` and how rare each is.

        Args:
            texts: of the training data.
            most: features at most; those in the most texts are kept.
            least: texts that a feature must be in.
        """
        counts = [_Counts(), _Counts()]
        for several in _portions(texts):
            for count, ngrams in zip(counts, _ngrams(several), strict=True):
                count.add(_counted(ngrams)[0] & _MASK)
        kept = _most_frequent([count.merged(least) for count in counts], most)
        return cls(*(_vocabulary(keys, of, len(texts)) for keys, of in kept))

    def matrix(self, texts: Sequence[str]) -> Rows:
        """The features of each text: N rows."""
        parts = [self._portion(several) for several in _portions(texts)]
        lengths = np.concatenate([np.zeros(1, np.int64), *(lengths for lengths, _, _ in parts)])
        columns = np.concatenate([np.zeros(0, np.int32), *(columns for _, columns, _ in parts)])
        values = np.concatenate([np.zeros(0, np.float32), *(values for _, _, values in parts)])
        return Rows(np.cumsum(lengths), columns, values)

    def _portion(self, texts: Sequence[str]) -> tuple[Array, Array, Array]:
        """Of texts that are read together: how many features each has, which, and their values."""
        words, letters = _ngrams(texts)
        of_words, of_letters = _known(words, self._words.keys), _known(letters, self._letters.keys)
        rows, columns, counts = (np.concatenate(both) for both in zip(of_words, of_letters, strict=True))
        is_letter = np.arange(len(rows)) >= len(of_words[0])
        columns = columns + is_letter * len(self._words.keys)
        values = (1 + np.log(counts)) * self._idf[columns]
        values *= _scale(rows * 2 + is_letter, values, len(texts))
        order = np.argsort(rows, kind="stable")
        lengths = np.bincount(rows, minlength=len(texts))
        return lengths, columns[order].astype(np.int32), values[order].astype(np.float32)

    def description(self) -> dict[str, Any]:
        """What `from_tensors` needs beside the tensors, as JSON can say it."""
        return {"name": "ngrams", "words": len(self._words.keys), "letters": len(self._letters.keys)}

    def tensors(self) -> dict[str, Array]:
        """The hashes of the n-grams, ascending in each block, and their weights."""
        blocks = zip(_BLOCKS, (self._words, self._letters), strict=True)
        return {f"{name}.{what}": one for name, block in blocks for what, one in block._asdict().items()}

    @classmethod
    def from_tensors(cls, description: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """What `description` and `tensors` told.

        Raises:
            ValueError: the tensors are not those of the description.
        """
        if set(description) != {"name", *_BLOCKS}:
            raise ValueError(f"expected ngrams with words and letters, got {', '.join(sorted(description))}")
        wanted = {f"{name}.{what}" for name in _BLOCKS for what in _Vocabulary._fields}
        if set(tensors) != wanted:
            raise ValueError(f"expected the tensors {', '.join(sorted(wanted))}, got {', '.join(sorted(tensors))}")
        return cls(*(_checked(name, description[name], tensors) for name in _BLOCKS))


def _checked(name: str, size: Any, tensors: Mapping[str, Array]) -> _Vocabulary:
    keys, idf = tensors[f"{name}.keys"], tensors[f"{name}.idf"]
    for what, array, dtype in (("keys", keys, np.int64), ("idf", idf, np.float32)):
        if type(size) is not int or array.shape != (size,) or array.dtype != dtype:
            expected = f"{np.dtype(dtype)} [{size}]"
            raise ValueError(f"{name}.{what}: expected {expected}, got {array.dtype} {list(array.shape)}")
    if len(keys) and not (keys[0] >= 0 and keys[-1] <= _MASK and (keys[:-1] < keys[1:]).all()):
        raise ValueError(f"{name}.keys: expected hashes of {_BITS} bits in ascending order")
    if (idf < 1).any():
        raise ValueError(f"{name}.idf: expected weights of 1 or more")
    return _Vocabulary(keys, idf)


def _known(ngrams: Array, keys: Array) -> tuple[Array, Array, Array]:
    """Of each text its n-grams that are among `keys`: the text, which key, and how often."""
    found, counts = _counted(ngrams)
    wanted = found & _MASK
    places = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    known = keys[places] == wanted if len(keys) else np.zeros(len(wanted), bool)
    return found[known] >> _BITS, places[known], counts[known]


def _scale(blocks: Array, values: Array, texts: int) -> Array:
    """What each value is multiplied with, so that a text's blocks have the lengths `_LENGTHS` and then both together 1.

    Args:
        blocks: of each value, twice the text, and 1 more for letters.
        values: weighted counts.
        texts: how many there are.
    """
    squares = np.bincount(blocks, values**2, 2 * texts)
    lengths = np.tile(_LENGTHS, texts) * (squares > 0)
    both = np.sqrt(np.square(lengths).reshape(-1, 2).sum(axis=1)).repeat(2)
    return lengths[blocks] / (np.sqrt(squares) * both)[blocks]


# Hashes ---------------------------------------------------------------------------------------------------------------


def _portions(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts, as many at a time as are read together."""
    first = size = 0
    for place, text in enumerate(texts):
        if size and (size + len(text) > _CHARACTERS or place - first == _TEXTS):
            yield texts[first:place]
            first, size = place, 0
        size += len(text) + 1
    if size:
        yield texts[first:]


def _ngrams(texts: Sequence[str]) -> tuple[Array, Array]:
    """All n-grams of words and all of letters, as often as they are there: the place of the text, then the hash."""
    spaced = [_spaced(text) for text in texts]
    codes = code_points("".join(spaced))
    lengths = np.fromiter(map(len, spaced), np.int64, len(spaced))
    text_of = np.repeat(np.arange(len(texts)) << _BITS, lengths)
    hashes = Hashes(codes)
    return _words(codes, text_of, hashes), _letters(codes, text_of, hashes)


def _spaced(text: str) -> str:
    """The text without case, each word of it between two spaces of its own."""
    words = unicodedata.normalize("NFC", text.casefold()).split()
    return f" {'  '.join(words)} " if words else ""


def _of_text(texts: Array, hashes: Array) -> Array:
    return texts | (mixed(hashes) >> np.uint64(64 - _BITS)).view(np.int64)


def _words(codes: Array, text_of: Array, hashes: Hashes) -> Array:
    """Words of two letters and more, and pairs of neighbours."""
    inside = np.zeros(len(codes) + 2, np.int8)
    inside[1:-1] = _is_letter(codes)
    edges = np.diff(inside)
    (begin,), (end,) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    long = end - begin > 1
    words, texts = hashes.of(begin[long], end[long]), text_of[begin[long]]
    together = texts[1:] == texts[:-1]
    pairs = (words[:-1] * _PAIR + mixed(words[1:]))[together]
    return _of_text(np.concatenate([texts, texts[1:][together]]), np.concatenate([words, pairs]))


def _letters(codes: Array, text_of: Array, hashes: Hashes) -> Array:
    """Pieces of a word with the space before and the space after it."""
    word_of = (np.cumsum(codes == _SPACE) - 1) // 2
    found = []
    for length in range(1, _LONGEST + 1):
        (begin,) = np.nonzero(word_of[: max(0, len(codes) - length + 1)] == word_of[length - 1 :])
        found.append(_of_text(text_of[begin], hashes.of(begin, begin + length)))
    return np.concatenate(found)


_KINDS = np.zeros(0x110000, np.int8)  # of a code point: 0 if it was not seen yet, 1 part of a word, 2 not


def _is_letter(codes: Array) -> Array:
    """Whether each code point is of a word: a letter, a digit, a mark on one, or an underscore."""
    for code in np.unique(codes[_KINDS[codes] == 0]).tolist():
        one = chr(code)
        _KINDS[code] = 1 if one.isalnum() or one == "_" or unicodedata.category(one)[0] == "M" else 2
    return _KINDS[codes] == 1


# Counts ---------------------------------------------------------------------------------------------------------------


class _Counts:
    """In how many texts each n-gram is."""

    def __init__(self) -> None:
        self._parts: list[tuple[Array, Array]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
        self._pending = 0

    def add(self, keys: Array) -> None:
        """Count n-grams, each once a text."""
        self._parts.append(_counted(keys))
        self._pending += len(self._parts[-1][0])
        if self._pending > _PENDING:
            self._parts = [self.merged(1)]
            self._pending = 0

    def merged(self, least: int) -> tuple[Array, Array]:
        """The n-grams that are in at least so many texts, ascending, and in how many."""
        keys, counts = (np.concatenate(both) for both in zip(*self._parts, strict=True))
        order = np.argsort(keys)
        found, places = _counted(keys[order])
        begin = np.cumsum(places) - places
        total = np.add.reduceat(counts[order], begin) if len(begin) else counts
        return found[total >= least], total[total >= least]


def _counted(numbers: Array) -> tuple[Array, Array]:
    """The distinct numbers, ascending, and how often each is there; `np.unique` takes ten times as long."""
    numbers = np.sort(numbers)
    is_first = np.ones(len(numbers), bool)
    is_first[1:] = numbers[1:] != numbers[:-1]
    (places,) = np.nonzero(is_first)
    return numbers[places], np.diff(places, append=len(numbers))


def _most_frequent(blocks: Sequence[tuple[Array, Array]], most: int) -> list[tuple[Array, Array]]:
    """At most `most` n-grams of both blocks together."""
    counts = np.concatenate([counts for _, counts in blocks])
    chosen = np.zeros(len(counts), bool)
    chosen[np.argsort(-counts, kind="stable")[:most]] = True
    parts = np.split(chosen, [len(blocks[0][0])])
    return [(keys[part], counts[part]) for (keys, counts), part in zip(blocks, parts, strict=True)]


def _vocabulary(keys: Array, counts: Array, texts: int) -> _Vocabulary:
    return _Vocabulary(keys, (np.log((1 + texts) / (1 + counts)) + 1).astype(np.float32))
