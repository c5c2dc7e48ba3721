"""Untrusted text, made safe to print on a terminal."""

from __future__ import annotations

import re

# C0 except tab and line feed, DEL, C1, bidirectional controls, and lone surrogates
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with its control characters as Python's escape sequences, so that they do not control the terminal."""
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], text)
