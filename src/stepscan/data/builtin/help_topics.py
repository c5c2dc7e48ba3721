"""English text for a language model: the help topics that are part of Python."""

from __future__ import annotations

import math
import random
import re
from collections import Counter

from stepscan.data.builtin.split import Split

MINIMUM_COUNT = 20  # occurrences of a character, below which it is removed
RULE = re.compile(r"^[*=~^-]{4,}\n", re.MULTILINE)  # the line under a heading
BLANK_LINES = re.compile(r"\n{4,}")


def documentation(seed: int = 0) -> Split[str]:
    """Python's documentation of its language (`help("for")` etc.), split into about 90, 5 and 5 % of the characters.

    Topics are not split. A topic most of whose paragraphs are part of a longer one (a third of the text) is left out,
    because the test data would otherwise repeat the training data.
    """
    topics = _distinct_topics()
    names = sorted(topics)
    random.Random(seed).shuffle(names)
    size = sum(map(len, topics.values())) // 20
    test = _choose(topics, names, size)
    valid = _choose(topics, [name for name in names if name not in test], size)
    train = topics.keys() - test - valid
    alphabet = {character for character, count in Counter("".join(topics.values())).items() if count >= MINIMUM_COUNT}
    return Split(*(_join(topics, part, alphabet) for part in (train, valid, test)))


def trigram_nats(split: Split[str]) -> float:
    """Cross-entropy of the test text under a character trigram model of the training text, in nats per character."""
    model = _Trigrams(split.train)
    text = split.test
    return -sum(math.log(model.probability(text[max(0, i - 2) : i], text[i])) for i in range(len(text))) / len(text)


def sample_trigrams(train_text: str, length: int, seed: int = 0) -> str:
    """Sample `length` characters from a character trigram model of `train_text`."""
    model, rng = _Trigrams(train_text), random.Random(seed)
    alphabet = sorted(model.alphabet)
    text = ""
    for _ in range(length):
        text += rng.choices(alphabet, [model.probability(text[-2:], character) for character in alphabet])[0]
    return text


class _Trigrams:
    """Character trigrams, interpolated with bigrams, unigrams and the uniform distribution.

    The weight of the shorter context is that of Witten and Bell (1991): it grows with the number of different
    characters that follow the longer one. There are no hyperparameters.
    """

    def __init__(self, text: str) -> None:
        self.alphabet = set(text)
        self.counts = Counter(text[i : i + n] for n in (1, 2, 3) for i in range(len(text) - n + 1))
        self.total: Counter[str] = Counter()  # how often a context is followed by a character
        self.kinds: Counter[str] = Counter()  # and by how many different ones
        for gram, count in self.counts.items():
            self.total[gram[:-1]] += count
            self.kinds[gram[:-1]] += 1

    def probability(self, context: str, character: str) -> float:
        """The probability of a character after a context of at most two characters."""
        shorter = self.probability(context[1:], character) if context else 1 / (len(self.alphabet) + 1)
        if not self.total[context]:
            return shorter
        kinds = self.kinds[context]
        return (self.counts[context + character] + kinds * shorter) / (self.total[context] + kinds)


def _distinct_topics() -> dict[str, str]:
    """Help topics by name, without those of which half the paragraphs or more are part of a longer topic."""
    from pydoc_data.topics import topics

    distinct, seen = {}, set[str]()
    for name in sorted(topics, key=lambda name: (-len(topics[name]), name)):
        paragraphs = [" ".join(paragraph.split()) for paragraph in topics[name].split("\n\n")]
        long = {paragraph for paragraph in paragraphs if len(paragraph) > 60}
        if 2 * len(long & seen) < max(1, len(long)):
            distinct[name] = RULE.sub("", topics[name])
        seen |= long
    return distinct


def _choose(topics: dict[str, str], names: list[str], size: int) -> set[str]:
    """The first names whose topics have at most `size` characters in total."""
    chosen = set()
    for name in names:
        if len(topics[name]) <= size:
            chosen.add(name)
            size -= len(topics[name])
    return chosen


def _join(topics: dict[str, str], names: set[str], alphabet: set[str]) -> str:
    text = "\n\n".join(topics[name].strip("\n") for name in sorted(names)) + "\n"
    return BLANK_LINES.sub("\n\n\n", "".join(character for character in text if character in alphabet))
