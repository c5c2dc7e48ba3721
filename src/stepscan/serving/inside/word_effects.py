"""Which words of a text a classifier's answer depends on: the answer with each word left out (Li et al. 2017,
Understanding neural networks through representation erasure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stepscan.backends.batches import Array
from stepscan.data.example_checks import checked_texts
from stepscan.errors import SettingsError, nearest

MOST_WORDS = 200  # of a text: each costs a prediction of the whole text
_WORD = re.compile(r"\w+(?:['’\-.]\w+)*|[^\w\s]")
_SMALLEST = 1e-7  # a probability, so that its log-odds are finite


class LeftOut(NamedTuple):
    """A text with each of its words left out."""

    spans: list[tuple[int, int]]  # where the words begin and end in the text, in characters
    texts: list[str]  # the text without each of them


class Answer(NamedTuple):
    """What a classifier says of a text."""

    label: str  # empty for a regression
    value: float  # probability of the label; of a regression, the number


class WordEffect(NamedTuple):
    """A word of a text, and what it does to the answer."""

    start: int  # of the word in the text, in characters
    end: int
    effect: float  # the text's score minus that without the word; positive: it speaks for the label
    without: float  # probability of the label without the word; of a regression, the number


class WordEffects(NamedTuple):
    """What the words of a text do to one answer. Scores are log-odds, ln p / (1 − p); of a regression, numbers."""

    label: str  # empty for a regression
    answer: float  # probability of the label; of a regression, the number
    words: list[WordEffect]


def word_effects(model: Any, text: str, label: str | None = None) -> WordEffects:
    """The effect of each word of a text, by leaving it out; the model's wide part counts.

    Args:
        model: a fitted classifier of texts.
        text: at most `MOST_WORDS` words.
        label: the class or label; None for the most probable one. A regression has none.

    Raises:
        SettingsError: the model is not a classifier of texts, has no such label, or the text is too long.
    """
    left_out = leave_out_words(text)
    [answer] = answers(model, [text], label)
    without = [one.value for one in answers(model, left_out.texts, answer.label)]
    return effects(answer, left_out.spans, without)


def leave_out_words(text: str) -> LeftOut:
    """A text without each of its words.

    Raises:
        SettingsError: it is not valid Unicode, or has too many words.
    """
    [text] = checked_texts([text])
    spans = [match.span() for match in _WORD.finditer(text)]
    if len(spans) > MOST_WORDS:
        raise SettingsError(f"text: expected at most {MOST_WORDS} words for their effects, got {len(spans):,}")
    return LeftOut(spans, [text[:start] + text[end:] for start, end in spans])


def answers(model: Any, texts: Sequence[str], label: str | None) -> list[Answer]:
    """What a classifier says of each text.

    Args:
        model: a fitted classifier of texts.
        texts: the texts.
        label: whose probability it is; None or, of a regression, empty: that of the most probable one of each text.

    Raises:
        SettingsError: the model is not a classifier of texts, or has no such label.
    """
    if model.task != "classify" or not model.tokenizers_:
        raise SettingsError("effects of words: expected a classifier of texts, got another model")
    if model.labels_ is None:
        if label:
            raise SettingsError(f"label: expected none for a model that predicts a number, got {label!r}")
        return [Answer("", float(number)) for number in model.predict(texts)]
    names = [str(name) for name in model.labels_]
    if label is not None and label not in names:
        raise SettingsError(f"label: expected one of the model, got {label!r}.{nearest(label, names)}")
    probabilities = model.predict_proba(texts)
    columns = probabilities.argmax(axis=1) if label is None else [names.index(label)] * len(probabilities)
    return [Answer(names[column], float(row[column])) for column, row in zip(columns, probabilities, strict=True)]


def effects(answer: Answer, spans: Sequence[tuple[int, int]], without: Sequence[float]) -> WordEffects:
    """The effects of words, from the answer to the whole text and its values without each of them."""
    values = np.array([answer.value, *without])
    scores = _log_odds(values) if answer.label else values
    words = [
        WordEffect(*span, float(scores[0] - score), float(value))
        for span, score, value in zip(spans, scores[1:], values[1:], strict=True)
    ]
    return WordEffects(answer.label, answer.value, words)


def _log_odds(probabilities: Array) -> Array:
    p = probabilities.clip(_SMALLEST, 1 - _SMALLEST)
    return np.log(p) - np.log1p(-p)
