"""The help topics as text to generate, and their trigrams."""

from __future__ import annotations

import re

import pytest

from stepscan.data import builtin
from stepscan.data.builtin import help_topics


@pytest.fixture(scope="module")
def documentation():
    return builtin.documentation()


def test_documentation_is_split_90_5_5_by_topics(documentation):
    total = sum(map(len, documentation))
    assert total > 300_000
    assert 0.88 < len(documentation.train) / total < 0.92
    assert len(documentation.valid) / total > 0.04
    assert len(documentation.test) / total > 0.04


def test_documentation_has_few_characters_no_rules_and_no_long_gaps(documentation):
    text = "".join(documentation)
    assert len(set(text)) < 110
    assert "\n\n\n\n" not in text
    assert not re.search(r"^\*{4,}$", text, re.MULTILINE)


def test_trigram_probabilities_are_as_by_hand_and_sum_to_one():
    model = help_topics._Trigrams("abab")
    # Of one character: (2 + 2/3) / 6 each, from counts 2 and 2, two kinds, and a uniform third for a, b and unseen.
    assert model.probability("", "a") == pytest.approx(4 / 9)
    assert model.probability("a", "b") == pytest.approx((2 + 4 / 9) / 3)
    assert model.probability("ba", "b") == pytest.approx((1 + (2 + 4 / 9) / 3) / 2)
    assert sum(model.probability("ab", c) for c in "ab?") == pytest.approx(1)


def test_trigrams_say_something_about_documentation(documentation):
    assert 1.5 < builtin.trigram_nats(documentation) < 2.2


def test_trigram_samples(documentation):
    text = builtin.sample_trigrams(documentation.train[:20_000], length=100, seed=1)
    assert len(text) == 100
    assert set(text) <= set(documentation.train)
    assert text == builtin.sample_trigrams(documentation.train[:20_000], length=100, seed=1)
    assert builtin.sample_trigrams("abababab", length=0) == ""
