"""What is kept of the tagged sentences of a training as they pass by, for sentences that are not in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

Tags = Sequence[str]


class TagFacts:
    """A sample of tagged sentences, evenly chosen; and the tags of the first sentence with each succession of two tags,
    which is all that a scheme of spans looks at."""

    MOST = 20_000  # sentences, of either

    def __init__(self) -> None:
        self.sentences = self.tokens = 0
        self.sample: list[tuple[Sequence[str], Tags]] = []
        self.successions: list[tuple[int, Tags]] = []  # number of the sentence, from 1, and its tags
        self._every, self._seen = 1, set[tuple[str | None, str | None]]()

    def add(self, tokens: Sequence[str], tags: Tags) -> None:
        """Look at the next sentence."""
        if self.sentences % self._every == 0:
            self.sample.append((tokens, tags))
        if len(self.sample) > self.MOST:
            self.sample, self._every = self.sample[::2], 2 * self._every
        self.sentences += 1
        self.tokens += len(tags)
        successions = set(pairwise([None, *tags, None]))
        if not successions <= self._seen and len(self.successions) < self.MOST:
            self._seen |= successions
            self.successions.append((self.sentences, tags))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        names = ("sentences", "tokens", "sample", "successions")
        return {name: getattr(self, name) for name in names}


class TypicalTags:
    """The tags of sentences in the place of all sentences of a training; the others are empty.

    Args:
        facts: of `TagFacts`.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.rows = dict[int, Tags](facts["successions"])

    def __iter__(self) -> Iterator[Tags]:
        return (self.rows.get(number, ()) for number in range(1, max(self.rows, default=0) + 1))
