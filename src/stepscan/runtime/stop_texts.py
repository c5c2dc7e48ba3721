"""Where a text that is being written ends: before the first of some texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_SLACK = 16  # ids more than the longest text needs: what stands at the edge of a piece may be spelled in another way


class Stops:
    """Keeps what is written, and looks for the texts that end it, in the newest part alone: in linear time.

    Args:
        texts: that end it; empty ones end nothing.
        decode: ids → text.
    """

    def __init__(self, texts: Sequence[str], decode: Callable[[list[int]], str]) -> None:
        self.texts, self._decode = [text for text in texts if text], decode
        self._ids: list[int] = []
        self._overlap = 4 * max(map(len, self.texts), default=0) + _SLACK  # a letter is at most four bytes, one id each

    def reached(self, more: list[int]) -> bool:
        """Take the ids that were written next; whether one of the texts is among all that was written."""
        self._ids += more
        if not self.texts:
            return False
        newest = self._decode(self._ids[-len(more) - self._overlap :])
        return any(text in newest for text in self.texts) and len(self.before()) < len(self._decode(self._ids))

    def before(self) -> str:
        """All that was written before the first of the texts."""
        written = self._decode(self._ids)
        return written[
            : min([place for text in self.texts if (place := written.find(text)) >= 0], default=len(written))
        ]
