"""Comments in CoNLL columns: lines before a sentence that begin with `#`, as tokens such as `#` and `#tag` may too."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

from stepscan.data.conll.blocks import Texts
from stepscan.data.conll.layout import Layout

logger = logging.getLogger(__name__)

_KEY = re.compile(r"#(\s+new(doc|par)\b|\s*(begin|end) document\b|\s*\S+\s+=\s)")  # such as `# sent_id = 3`


class Comments:
    """Tells comments of a file, block after block, from tokens.

    Args:
        path: the file.
        ahead: the lines of the next block that has others than those with a `#`.
    """

    def __init__(self, path: str | Path, ahead: Callable[[], Texts]) -> None:
        self.path, self.ahead = path, ahead
        self.known: set[str] = set()  # the last column of all rows so far
        self.some = False
        self.always: bool | None = None  # whether every sentence so far begins with one

    def count(self, texts: Texts, layout: Layout) -> int:
        """How many lines at the beginning of a block are comments."""
        if not (texts and texts[0][1].startswith("#")):
            self.always = False
            return 0
        known = self.known | (_last(texts, layout) or _last(self.ahead(), layout))
        count = 0
        for number, text in texts:
            if not self._is_comment(number, text, layout, known, first=count == 0):
                break
            count += 1
        self.some = self.some or count > 0
        if count < len(texts):
            self.always = self.always is not False and count > 0
        return count

    def _is_comment(self, number: int, text: str, layout: Layout, known: set[str], first: bool) -> bool:
        """A line with a `#` that does not have the columns of a row; or that has them by chance, such as `# 3`: no row
        has its tag, and comments or their like precede or follow."""
        if not text.startswith("#"):
            return False
        row = layout.fields(text)
        hashtag = layout.width > 1 and re.match(r"#\S", text) is not None
        if len(row) != layout.width:
            if hashtag and len(layout.other_fields(text)) == layout.width:
                return False
            if hashtag and len(text.split()) == 1 and not self.some:
                logger.warning(f"{self.path}, line {number}: {text!r} is read as a comment: it has no tag")
            return True
        if _KEY.match(text) or (first and self.always and not (hashtag or layout.tabs)):
            return True
        if not row[0].startswith("# ") and (row[0] != "#" or layout.tabs):
            return False
        if layout.width == 1 or row[-1] in known or (layout.tabs and not known):
            return False
        if self.some:
            return True
        ahead = self.ahead()
        return row[-1] not in _last(ahead, layout) and self._begins(number, text, row[-1], known, ahead)

    def _begins(self, number: int, text: str, tag: str, known: set[str], ahead: Texts) -> bool:
        """Whether what has as many columns as a row is the first comment: no tag is a number, as this is; the next
        sentence begins with a `#` too, and with another text; or the file has no rows."""
        is_id = not known or (tag.isdigit() and not any(one.isdigit() for one in known))
        followed = bool(ahead) and re.match(r"#\s", ahead[0][1]) is not None and ahead[0][1] != text
        if is_id or followed:
            logger.info(f"{self.path}, line {number}: {text!r} and its like are read as comments")
        return is_id or followed


def _last(texts: Texts, layout: Layout) -> set[str]:
    """What is in the last column of rows that do not begin with a `#`."""
    rows = (layout.fields(text) for _, text in texts if not text.startswith("#"))
    return {row[-1] for row in rows if len(row) == layout.width}
