"""Generated reviews whose label depends on negation and word order, so that a bag of words does not determine it."""

from __future__ import annotations

import random
from typing import NamedTuple

from stepscan.data.builtin.split import Split
from stepscan.data.example_types import LabelledText

LABELS = ("negative", "positive")
LONGEST, SHORTEST = 25, 5  # words per review


class Topic(NamedTuple):
    """Subjects that are praised or blamed with the same words."""

    subjects: list[str]
    good: list[str]
    bad: list[str]


class Domain(NamedTuple):
    """A kind of product: its topics, phrases for what it is compared with, and phrases that begin a review."""

    topics: list[Topic]
    rivals: list[str]
    openers: list[str]


def _topic(subjects: str, good: str, bad: str) -> Topic:
    return Topic(subjects.split(), good.split(), bad.split())


ANY_GOOD = ["good", "great", "excellent", "wonderful", "superb", "impressive", "delightful", "lovely", "brilliant"]
ANY_BAD = ["bad", "awful", "terrible", "dreadful", "poor", "disappointing", "horrible", "mediocre", "annoying"]
GOOD_THINGS = ["masterpiece", "triumph", "pleasure", "delight", "success", "joy", "treat", "marvel"]
BAD_THINGS = ["failure", "disaster", "disappointment", "mess", "letdown", "nuisance", "flop", "calamity"]
GOOD_QUALITIES = ["charm", "style", "merit", "character", "appeal", "virtues", "strengths"]
BAD_QUALITIES = ["flaws", "faults", "problems", "mistakes", "weaknesses", "defects", "shortcomings"]

FILM = Domain(
    topics=[
        _topic(
            "plot story script ending dialogue opening finale",
            "gripping moving clever funny touching thrilling original",
            "dull boring predictable clumsy tedious confusing shallow",
        ),
        _topic(
            "acting cast director hero villain narrator",
            "convincing subtle charming memorable lively",
            "wooden lifeless stiff forgettable bland",
        ),
    ],
    rivals=["in the first film", "in the book", "in the remake", "of last year"],
    openers=["we watched it on a rainy evening and", "i saw it with my sister and", "we saw it last night and"],
)
RESTAURANT = Domain(
    topics=[
        _topic(
            "soup steak fish pasta dessert bread wine curry salad",
            "tasty fresh delicious fragrant delicate",
            "stale bland greasy soggy tasteless",
        ),
        _topic(
            "waiter service kitchen host staff manager",
            "friendly attentive polite prompt cheerful",
            "rude careless slow chaotic unfriendly",
        ),
    ],
    rivals=["next door", "across the street", "at the old place", "that we had in town"],
    openers=["we went there for lunch and", "my parents took us there and", "i booked a table for two and"],
)
PRODUCT = Domain(
    topics=[
        _topic(
            "screen keyboard camera battery case handle lens",
            "sturdy reliable precise solid handy",
            "flimsy unreliable crude fragile cheap",
        ),
        _topic(
            "app menu manual software display design",
            "clear useful simple elegant quick",
            "confusing useless clumsy ugly slow",
        ),
    ],
    rivals=["of the old model", "of my last one", "that my brother has", "in the shop"],
    openers=["i bought it for my mother and", "it came in the mail and", "i have used it for a month and"],
)
DOMAINS = (FILM, RESTAURANT, PRODUCT)
OPENERS = ("honestly,", "in the end,", "to be fair,", "in short,", "for the record,", "as expected,")

# Clauses as (weight, template): {same} has the polarity of the clause, {other} the opposite one.
CLAUSES = (
    (14, "the {subject} was {same}"),
    (12, "the {subject} was {very} {same}"),
    (6, "the {subject} was a real {same_thing}"),
    (3, "the {subject} was not {other}"),
    (2, "the {subject} was never {other}"),
    (2, "the {subject} was far from {other}"),
    (2, "the {subject} was anything but {other}"),
    (2, "the {subject} was hardly a {other_thing}"),
    (1, "the {subject} was completely without {other_quality}"),
    (2, "the {subject} was not without {same_quality}"),
    (3, "the {subject} was too {same} to be {other}"),
    (2, "the {subject} was {more} than the {other} one {rival}"),
    (2, "the {subject} was no {less} than the {same} one {rival}"),
    (1, "nobody could call the {subject} {other}"),
    (2, "i would not say that the {subject} was {other}"),
    (1, "nobody could say that the {subject} was not {same}"),
)
VERY = ["really", "truly", "quite", "very", "just", "so"]

# Sentences as (weight, template): {main} decides the label, {agree} has the same polarity, {against} the opposite one.
SENTENCES = (
    (12, "{main}"),
    (3, "{agree} and {main}"),
    (3, "{against} but {main}"),
    (1, "{against}, yet {main}"),
    (2, "although {against}, {main}"),
    (2, "{main}, although {against}"),
    (1, "even though {against}, {main}"),
    (1, "{main} even though {against}"),
)


def reviews(seed: int = 0, train: int = 3000, valid: int = 500, test: int = 500) -> Split[list[LabelledText]]:
    """GENERATED one-sentence reviews of films, restaurants and products, labelled `positive` or `negative`.

    They are generated by the small grammar of this module, not written by people. Negation, comparison and the order of
    clauses determine the label; each word of praise or blame is about equally likely under both labels, so that word
    counts are nearly uninformative. Every part has as many positive as negative reviews (up to one), of 5 to 25 words
    in lower case, and no text occurs twice.

    Args:
        seed: of the draw.
        train, valid, test: number of reviews in each part.
    """
    rng = random.Random(seed)
    seen: set[str] = set()
    return Split(*(_part(rng, size, seen) for size in (train, valid, test)))


def bag_of_words_accuracy(split: Split[list[LabelledText]]) -> float:
    """Accuracy on the test data of logistic regression on word counts, which ignore word order."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    model.fit([review.text for review in split.train], [review.label for review in split.train])
    return float(model.score([review.text for review in split.test], [review.label for review in split.test]))


def _part(rng: random.Random, size: int, seen: set[str]) -> list[LabelledText]:
    part: list[LabelledText] = []
    while len(part) < size:
        good = len(part) % 2 == 1
        text = _sentence(rng, good)
        if text not in seen and SHORTEST <= len(text.split()) <= LONGEST:
            seen.add(text)
            part.append(LabelledText(text, LABELS[good]))
    rng.shuffle(part)
    return part


def _sentence(rng: random.Random, good: bool) -> str:
    domain = rng.choice(DOMAINS)
    first, second = rng.sample([(topic, subject) for topic in domain.topics for subject in topic.subjects], 2)
    sentence = _pick(rng, SENTENCES).format(
        main=_clause(rng, domain, *first, good),
        agree=_clause(rng, domain, *second, good),
        against=_clause(rng, domain, *second, not good),
    )
    opener = rng.choice(["", "", *domain.openers, rng.choice(OPENERS)])
    return f"{opener} {sentence}".strip()


def _clause(rng: random.Random, domain: Domain, topic: Topic, subject: str, good: bool) -> str:
    praise = (topic.good + ANY_GOOD, GOOD_THINGS, GOOD_QUALITIES)
    blame = (topic.bad + ANY_BAD, BAD_THINGS, BAD_QUALITIES)
    same, same_thing, same_quality = map(rng.choice, praise if good else blame)
    other, other_thing, other_quality = map(rng.choice, blame if good else praise)
    return _pick(rng, CLAUSES).format(
        subject=subject,
        same=same,
        same_thing=same_thing,
        same_quality=same_quality,
        other=other,
        other_thing=other_thing,
        other_quality=other_quality,
        more="better" if good else "worse",
        less="worse" if good else "better",
        very=rng.choice(VERY),
        rival=rng.choice(domain.rivals),
    )


def _pick(rng: random.Random, weighted: tuple[tuple[int, str], ...]) -> str:
    weights, templates = zip(*weighted, strict=True)
    return rng.choices(templates, weights)[0]
