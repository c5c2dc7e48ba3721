"""Comments in CoNLL columns: lines before a sentence that begin with `#`, as tokens such as `#` and `#tag` may too."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

from stepscan.data.conll.blocks import NumberedTexts
from stepscan.data.conll.layout import Layout

logger = logging.getLogger(__name__)

_KEY = re.compile(r"#(\s+new(doc|par)\b|\s*(begin|end) document\b|\s*\S+\s+=\s)")  # such as `# sent_id = 3`


class CommentDetector:
    """Tells comments from tokens, block after block of a file.

    Args:
        path: the file, for messages.
        next_block: returns the lines of the next block that has other lines than those with a `#`.

    Attributes:
        tags: the last column of all rows so far.
        has_comments: whether any line so far was a comment.
        always: whether every sentence so far began with a comment; None before the first.
    """

    def __init__(self, path: str | Path, next_block: Callable[[], NumberedTexts]) -> None:
        self.path, self.next_block = path, next_block
        self.tags: set[str] = set()
        self.has_comments = False
        self.always: bool | None = None

    def count(self, texts: NumberedTexts, layout: Layout) -> int:
        """The number of lines at the beginning of a block that are comments."""
        if not (texts and texts[0][1].startswith("#")):
            self.always = False
            return 0
        tags = self.tags | (_tags(texts, layout) or _tags(self.next_block(), layout))
        count = 0
        for number, text in texts:
            if not self._is_comment(number, text, layout, tags, first=count == 0):
                break
            count += 1
        self.has_comments = self.has_comments or count > 0
        if count < len(texts):
            self.always = self.always is not False and count > 0
        return count

    def _is_comment(self, number: int, text: str, layout: Layout, tags: set[str], first: bool) -> bool:
        """Whether a line that begins with `#` is a comment.

        It is if it does not have the columns of a row; or if it has them by chance, such as `# 3`, when no row has its
        tag, and comments or similar lines are before or after it.
        """
        if not text.startswith("#"):
            return False
        row = layout.split(text)
        is_hashtag = layout.width > 1 and re.match(r"#\S", text) is not None
        if len(row) != layout.width:
            if is_hashtag and len(layout.split_otherwise(text)) == layout.width:
                return False
            if is_hashtag and len(text.split()) == 1 and not self.has_comments:
                logger.warning(f"{self.path}, line {number}: {text!r} is read as a comment: it has no tag")
            return True
        if _KEY.match(text) or (first and self.always and not (is_hashtag or layout.tabs)):
            return True
        if not row[0].startswith("# ") and (row[0] != "#" or layout.tabs):
            return False
        if layout.width == 1 or row[-1] in tags or (layout.tabs and not tags):
            return False
        if self.has_comments:
            return True
        following = self.next_block()
        return row[-1] not in _tags(following, layout) and self._is_first(number, text, row[-1], tags, following)

    def _is_first(self, number: int, text: str, tag: str, tags: set[str], following: NumberedTexts) -> bool:
        """Whether a line with the columns of a row is the first comment of the file.

        It is if it ends in a number and no tag is one; if the next sentence begins with a `#` and another text; or if
        the file has no rows.
        """
        is_id = not tags or (tag.isdigit() and not any(known.isdigit() for known in tags))
        is_followed = bool(following) and re.match(r"#\s", following[0][1]) is not None and following[0][1] != text
        if is_id or is_followed:
            logger.info(f"{self.path}, line {number}: {text!r} and similar lines are read as comments")
        return is_id or is_followed


def _tags(texts: NumberedTexts, layout: Layout) -> set[str]:
    """The last column of the rows that do not begin with a `#`."""
    rows = (layout.split(text) for _, text in texts if not text.startswith("#"))
    return {row[-1] for row in rows if len(row) == layout.width}
