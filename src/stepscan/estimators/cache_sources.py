"""The training data of a cache as they stand in files, without those that are held out; read again for each pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from stepscan.errors import StepscanError

_MOST_CHARACTERS = 2_000_000  # of a text, that are held out


class HeldOut:
    """Which examples are held out for validation: a tenth, at most 20,000 different inputs, chosen by a hash of the
    input, so that copies of one are on the same side, and the choice is the same on every machine.

    Args:
        inputs: of all examples: texts, or lists of tokens.
    """

    MOST = 20_000

    def __init__(self, inputs: Iterable[Any]) -> None:
        hashes: set[int] = set()  # the smallest ones
        bound = 2**64
        for one in inputs:
            number = self._hash(one)
            if number < bound:
                hashes.add(number)
            if len(hashes) > 2 * self.MOST:
                hashes = set(sorted(hashes)[: self.MOST])
                bound = max(hashes)
        if len(hashes) < 2:
            raise StepscanError("one text cannot be split into training and validation data; give more, or --valid")
        # The number of different texts; where not all hashes are kept, by the largest (Bar-Yossef et al. 2002).
        different = len(hashes) if bound == 2**64 else len(hashes) * 2**64 // max(hashes)
        self.bound = sorted(hashes)[max(1, min(self.MOST, different // 10)) - 1]

    def __call__(self, one: Any) -> bool:
        """Whether examples with this input are held out."""
        return self._hash(one) <= self.bound

    @staticmethod
    def _hash(one: Any) -> int:
        text = one.strip() if isinstance(one, str) else "\n".join(one)
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class ExampleSource:
    """Examples: pairs of an input and a target. Sentences without tags are left out.

    Args:
        read: the examples of the file, from the beginning.
        holds_out: whether some are held out; see `HeldOut`.
    """

    def __init__(self, read: Callable[[], Iterable[tuple[Any, Any]]], *, holds_out: bool) -> None:
        self._read = read
        self._is_held_out = HeldOut(one for one, _ in self._examples()) if holds_out else None
        self.held_out: list[tuple[Any, Any]] = []  # of the last pass

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        self.held_out = []
        for one, target in self._examples():
            if self._is_held_out is not None and self._is_held_out(one):
                self.held_out.append((one, target))
            else:
                yield one, target

    def _examples(self) -> Iterator[tuple[Any, Any]]:
        return (example for example in self._read() if example[1] != [] or isinstance(example[0], str))


class TextSource:
    """Pieces of one text.

    Args:
        read: the pieces of the file, from the beginning.
        holds_out: whether the last tenth is held out, at most 2,000,000 characters.
    """

    def __init__(self, read: Callable[[], Iterable[str]], *, holds_out: bool) -> None:
        self._read, self._size = read, None
        if holds_out:
            characters = sum(map(len, read()))
            self._size = characters - min(max(1, characters // 10), _MOST_CHARACTERS)
        self.held_out = ""  # of the last pass

    def __iter__(self) -> Iterator[str]:
        rest, held_out = self._size, []
        for piece in self._read():
            if rest is None:
                yield piece
                continue
            if rest:
                yield piece[:rest]
            held_out.append(piece[rest:])
            rest -= min(rest, len(piece))
        self.held_out = "".join(held_out)
