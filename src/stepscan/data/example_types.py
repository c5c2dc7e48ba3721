"""The types of examples that readers of texts return."""

from __future__ import annotations

from typing import Any, NamedTuple


class LabelledText(NamedTuple):
    """A text and its label: a class, a list of labels, or a number."""

    text: str
    label: Any


class TaggedSentence(NamedTuple):
    """The tokens of a sentence, and one tag for each."""

    tokens: list[str]
    tags: list[str]


class Pair(NamedTuple):
    """A text and its translation."""

    source: str
    target: str
