"""Stop texts: generation ends before the first occurrence of any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_MARGIN = 16  # ids more than the longest text needs: at the edge of a chunk, ids may decode to another text


class StopTexts:
    """Collects generated ids and searches the newest part for the stop texts, in linear time overall.

    Args:
        texts: the stop texts; empty ones are ignored.
        decode: ids → text.
    """

    def __init__(self, texts: Sequence[str], decode: Callable[[list[int]], str]) -> None:
        self.texts, self._decode = [text for text in texts if text], decode
        self._ids: list[int] = []
        self._overlap = 4 * max(map(len, self.texts), default=0) + _MARGIN  # at most 4 bytes per letter, 1 id per byte

    def is_reached(self, ids: list[int]) -> bool:
        """Append generated ids; whether all ids so far contain a stop text."""
        self._ids += ids
        if not self.texts:
            return False
        tail = self._decode(self._ids[-len(ids) - self._overlap :])
        return any(text in tail for text in self.texts) and len(self.text_before()) < len(self._decode(self._ids))

    def text_before(self) -> str:
        """The generated text before the first stop text, or all of it."""
        generated = self._decode(self._ids)
        starts = [start for text in self.texts if (start := generated.find(text)) >= 0]
        return generated[: min(starts, default=len(generated))]
