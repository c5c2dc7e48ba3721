"""English for a language model: the help topics that come with every Python."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

from stepscan.data.builtin.split import Split

RAREST = 20  # occurrences that a character needs in order to stay
RULE = re.compile(r"^[*=~^-]{4,}\n", re.MULTILINE)  # the line under a heading
BLANK_LINES = re.compile(r"\n{4,}")


def documentation(seed: int = 0) -> Split[str]:
    """Python's documentation of its own language (`help("for")` and its like), about 90 / 5 / 5 % of the characters.

    Whole topics go to one part. A topic most of whose paragraphs stand in a longer one (a third of the text) is left
    out, or the test would ask for what training has shown.
    """
    topics = _distinct_topics()
    names = sorted(topics)
    random.Random(seed).shuffle(names)
    room = sum(map(len, topics.values())) // 20
    test = _fill(topics, names, room)
    valid = _fill(topics, [name for name in names if name not in test], room)
    train = topics.keys() - test - valid
    alphabet = {character for character, count in Counter("".join(topics.values())).items() if count >= RAREST}
    return Split(*(_join(topics, part, alphabet) for part in (train, valid, test)))


def trigram_nats(split: Split[str]) -> float:
    """Nats a character of the test text, each character predicted from the two before it."""
    model = _Trigrams(split.train)
    text = split.test
    return -sum(math.log(model.probability(text[max(0, i - 2) : i], text[i])) for i in range(len(text))) / len(text)


def sample_trigrams(train_text: str, length: int, seed: int = 0) -> str:
    """`length` characters, each drawn given the two before it as often as it followed them in `train_text`."""
    model, rng = _Trigrams(train_text), random.Random(seed)
    alphabet = sorted(model.alphabet)
    text = ""
    for _ in range(length):
        text += rng.choices(alphabet, [model.probability(text[-2:], character) for character in alphabet])[0]
    return text


class _Trigrams:
    """Character trigrams, interpolated with bigrams, single characters and the uniform distribution.

    The share of the shorter context is Witten and Bell's (1991): it grows with the number of different characters that
    have followed the longer one. Nothing is tuned.
    """

    def __init__(self, text: str) -> None:
        self.alphabet = set(text)
        self.counts = Counter(text[i : i + n] for n in (1, 2, 3) for i in range(len(text) - n + 1))
        self.total: Counter[str] = Counter()  # of a context: how often it was followed
        self.kinds: Counter[str] = Counter()  # and by how many different characters
        for gram, count in self.counts.items():
            self.total[gram[:-1]] += count
            self.kinds[gram[:-1]] += 1

    def probability(self, context: str, character: str) -> float:
        """Of `character` after `context` of at most two characters."""
        shorter = self.probability(context[1:], character) if context else 1 / (len(self.alphabet) + 1)
        if not self.total[context]:
            return shorter
        kinds = self.kinds[context]
        return (self.counts[context + character] + kinds * shorter) / (self.total[context] + kinds)


def _distinct_topics() -> dict[str, str]:
    """Help topics by name, without those of which half the paragraphs or more stand in a longer topic."""
    from pydoc_data.topics import topics

    distinct, seen = {}, set[str]()
    for name in sorted(topics, key=lambda name: (-len(topics[name]), name)):
        paragraphs = [" ".join(paragraph.split()) for paragraph in topics[name].split("\n\n")]
        telling = {paragraph for paragraph in paragraphs if len(paragraph) > 60}
        if 2 * len(telling & seen) < max(1, len(telling)):
            distinct[name] = RULE.sub("", topics[name])
        seen |= telling
    return distinct


def _fill(topics: dict[str, str], names: list[str], room: int) -> set[str]:
    """The first of `names` whose topics fit into `room` characters together."""
    chosen = set()
    for name in names:
        if len(topics[name]) <= room:
            chosen.add(name)
            room -= len(topics[name])
    return chosen


def _join(topics: dict[str, str], names: set[str], alphabet: set[str]) -> str:
    text = "\n\n".join(topics[name].strip("\n") for name in sorted(names)) + "\n"
    return BLANK_LINES.sub("\n\n\n", "".join(character for character in text if character in alphabet))
