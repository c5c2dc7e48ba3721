"""The text of ids that come one at a time: what each adds, and where a stop text ends it."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from functools import cache
from typing import Any

from stepscan.data.vocabulary import SPECIAL

_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]


@cache
def _byte_of_letter() -> dict[str, int]:
    """The byte that each letter of a byte-level token stands for: printable bytes for themselves, the others for the
    code points from 256 on, in order."""
    others = [byte for byte in range(256) if byte not in _PRINTABLE]
    return {chr(byte): byte for byte in _PRINTABLE} | {chr(256 + index): byte for index, byte in enumerate(others)}


class GrowingText:
    """Decodes ids one by one: the pieces, joined, are the text that `decode` gives of all ids.

    Args:
        tokenizer: the tokenizer.
        keeps_lines: whether the end symbol is a line end, as in language models of words.
    """

    def __init__(self, tokenizer: Any, *, keeps_lines: bool = False) -> None:
        self._tokenizer, self._keeps_lines = tokenizer, keeps_lines
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace") if tokenizer.kind in ("byte", "bpe") else None
        self._in_line = False  # whether a word precedes in this line

    def add(self, id: int) -> str:
        """What an id adds; empty while a character is incomplete."""
        tokenizer, token = self._tokenizer, self._tokenizer.tokens[id]
        if self._keeps_lines and id == tokenizer.end:
            self._in_line = False
            return "\n"
        if token in SPECIAL and id != tokenizer.unknown:
            return ""
        if id == tokenizer.unknown:
            token = "\ufffd"
        if self._bytes is not None:
            return self._bytes.decode(_token_bytes(token))
        if not tokenizer.drops_space:
            return token
        piece = f" {token}" if self._in_line else token
        self._in_line = True
        return piece

    def finish(self) -> str:
        """What is left of an incomplete character."""
        return "" if self._bytes is None else self._bytes.decode(b"", True)


def _token_bytes(token: str) -> bytes:
    letters = _byte_of_letter()
    return bytes(letters[letter] for letter in token) if all(map(letters.__contains__, token)) else token.encode()


class StopSearch:
    """Searches a growing text for stop texts, and holds back what may be the beginning of one.

    Args:
        texts: the stop texts; empty ones are ignored.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [text for text in texts if text]
        self._held = ""

    def add(self, piece: str) -> tuple[str, bool]:
        """More text → what can be shown now, and whether a stop text was found, before which the text ends."""
        if not self._texts:
            return piece, False
        text = self._held + piece
        found = [start for stop in self._texts if (start := text.find(stop)) >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        size = max(
            (size for stop in self._texts for size in range(1, len(stop)) if text.endswith(stop[:size])), default=0
        )
        self._held = text[len(text) - size :]
        return text[: len(text) - size], False

    def finish(self) -> str:
        """What was held back at the end of the text."""
        return self._held
