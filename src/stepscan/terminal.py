"""Text of anybody's, made safe to be shown to people."""

from __future__ import annotations

import re

# C0 but tab and line feed, DEL, C1, what turns the direction of writing, and halves of surrogate pairs
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with its control characters as Python would escape them: a terminal obeys none of them."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)
