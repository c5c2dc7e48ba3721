"""Generated reviews: rules of English solve them, and a bag of words does not."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from stepscan.data import builtin
from stepscan.data.builtin import review_grammar

TOPICS = [topic for domain in review_grammar.DOMAINS for topic in domain.topics]
GOOD_WORDS = {"better", *review_grammar.ANY_GOOD, *review_grammar.GOOD_THINGS, *review_grammar.GOOD_QUALITIES}
BAD_WORDS = {"worse", *review_grammar.ANY_BAD, *review_grammar.BAD_THINGS, *review_grammar.BAD_QUALITIES}
GOOD_WORDS.update(word for topic in TOPICS for word in topic.good)
BAD_WORDS.update(word for topic in TOPICS for word in topic.bad)


@pytest.fixture(scope="module")
def reviews():
    return builtin.reviews()


def read_review(text: str) -> str:
    """The label by the rules of English: find the clause that decides, then count what turns its last word round."""
    text = text.replace("anything but", "not")
    clause = re.sub(r"^.*(although|even though) [^,]*, ", "", text)
    clause = re.split(r",? (?:although|even though) ", clause)[0]
    clause = re.split(r" but | yet | and ", clause)[-1]
    turns = len(re.findall(r"\b(not|never|far from|hardly|without|too|no|nobody)\b", clause))
    words = clause.split(" than ")[0].split()
    good = words[-1] in GOOD_WORDS
    assert good or words[-1] in BAD_WORDS, text
    return "positive" if good == (turns % 2 == 0) else "negative"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("the plot was dull but the acting was wonderful", "positive"),
        ("the acting was wonderful but the plot was dull", "negative"),
        ("in short, although the soup was stale, the waiter was never rude", "positive"),
        ("the soup was stale, although the waiter was never rude", "negative"),
        ("nobody could say that the screen was not good", "positive"),
        ("the screen was no better than the awful one in the shop", "negative"),
        ("the screen was not without charm", "positive"),
    ],
)
def test_the_rule_reader_reads(text, label):
    assert read_review(text) == label


def test_rules_of_english_solve_the_reviews(reviews):
    assert all(read_review(review.text) == review.label for part in reviews for review in part)


def test_reviews_are_balanced_distinct_and_of_5_to_25_words(reviews):
    for part, size in zip(reviews, (3000, 500, 500), strict=True):
        assert Counter(review.label for review in part) == {"positive": size // 2, "negative": size // 2}
        assert len({review.text for review in part}) == size
        assert all(5 <= len(review.text.split()) <= 25 for review in part)


def test_no_word_of_praise_or_blame_is_in_both_lists():
    assert not GOOD_WORDS & BAD_WORDS


def test_a_bag_of_words_hardly_beats_chance_on_reviews(reviews):
    assert 0.50 <= builtin.bag_of_words_accuracy(reviews) <= 0.75
