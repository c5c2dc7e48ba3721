"""Which words of a text a classifier's answer depends on: the answer with each word left out (Li et al. 2017,
Understanding neural networks through representation erasure)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from stepscan.backends.batches import Array
from stepscan.data.example_checks import checked_texts
from stepscan.errors import SettingsError, nearest

MOST_WORDS = 400  # of a text: each costs a prediction of the whole text
_WORD = re.compile(r"\w+(?:['’\-.]\w+)*|[^\w\s]")
_SMALLEST = 1e-7  # a probability, so that its log-odds are finite


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
    if model.task != "classify" or not model.tokenizers_:
        raise SettingsError("effects of words: expected a classifier of texts, got another model")
    [text] = checked_texts([text])
    spans = [match.span() for match in _WORD.finditer(text)]
    if len(spans) > MOST_WORDS:
        raise SettingsError(f"text: expected at most {MOST_WORDS} words for their effects, got {len(spans):,}")
    answers, label = _answers(model, [text, *(text[:start] + text[end:] for start, end in spans)], label)
    scores = answers if model.labels_ is None else _log_odds(answers)
    words = [
        WordEffect(*span, float(scores[0] - score), float(answer))
        for span, score, answer in zip(spans, scores[1:], answers[1:], strict=True)
    ]
    return WordEffects(label, float(answers[0]), words)


def _answers(model: Any, texts: list[str], label: str | None) -> tuple[Array, str]:
    """The probability of the label for each text, and the label; of a regression, the numbers and an empty label."""
    if model.labels_ is None:
        if label is not None:
            raise SettingsError(f"label: expected none for a model that predicts a number, got {label!r}")
        return np.asarray(model.predict(texts), np.float64), ""
    names = [str(name) for name in model.labels_]
    if label is not None and label not in names:
        raise SettingsError(f"label: expected one of the model, got {label!r}.{nearest(label, names)}")
    probabilities = model.predict_proba(texts).astype(np.float64)
    column = int(probabilities[0].argmax()) if label is None else names.index(label)
    return probabilities[:, column], names[column]


def _log_odds(probabilities: Array) -> Array:
    p = probabilities.clip(_SMALLEST, 1 - _SMALLEST)
    return np.log(p) - np.log1p(-p)
