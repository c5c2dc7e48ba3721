"""What one example is, for each kind of data."""

from __future__ import annotations

from typing import Any, NamedTuple


class LabelledText(NamedTuple):
    """A text and its class; or its labels, or a number."""

    text: str
    label: Any


class TaggedSentence(NamedTuple):
    """The tokens of a sentence and as many tags."""

    tokens: list[str]
    tags: list[str]


class Pair(NamedTuple):
    """A text and what it is to become."""

    source: str
    target: str
