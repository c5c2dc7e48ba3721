"""Trivial models (baselines) for comparison with estimators: made of the training data, scored on the held-out data.

Of large data, about 100,000 examples, evenly chosen, are used.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from stepscan.data.ragged_rows import occurrences
from stepscan.data.series.values import Values
from stepscan.evaluation.schemes import Scheme
from stepscan.evaluation.yardstick import Yardstick, mean_error, share_error, verdict
from stepscan.models.tagger import tag_metrics
from stepscan.training.progress import ProgressBar

Item = TypeVar("Item")
Examples = Sequence[tuple[Any, Sequence[str]]]

logger = logging.getLogger(__name__)
_MAX_EXAMPLES = 100_000  # about
_MAX_SUFFIX = 5  # characters


def sample(examples: Sequence[Item]) -> Sequence[Item]:
    """At most about 100,000 of the examples, evenly chosen."""
    return examples[:: max(1, len(examples) // _MAX_EXAMPLES)]


def frequent_tags(parts: Sequence[tuple[Examples, Examples]], scheme: Scheme | None) -> Yardstick:
    """The most frequent tag of each word; of an unknown word, of its longest known suffix (up to 5 characters). Of
    series, the most frequent tag.

    Args:
        parts: training and validation data: one pair, or the folds of a cross-validation.
        scheme: by which the tags mark spans, if they do.
    """
    predictions, targets = [], []
    for train, held_out in ((sample(train), sample(held_out)) for train, held_out in parts):
        is_numeric = isinstance(train[0][0], np.ndarray)
        frequent = _most_frequent(Counter(tag for _, tags in train for tag in tags))
        best = {} if is_numeric else _best_tags(train)
        predictions += [
            [frequent if is_numeric else _predict(word, best, frequent) for word in words] for words, _ in held_out
        ]
        targets += [tags for _, tags in held_out]
    figures = tag_metrics(predictions, targets, scheme)
    scores: dict[str, float] = {name: figures[name] for name in ("f1", "accuracy") if name in figures}
    count = figures["spans"] if scheme else sum(map(len, targets))
    error = share_error(next(iter(scores.values())), count)
    if is_numeric:
        return Yardstick("most frequent tag", scores, error, frequent)
    return Yardstick("most frequent tag of each word", scores, error)


def symbol_frequencies(train: np.ndarray, held_out: np.ndarray, symbols: int) -> Yardstick:
    """A unigram model with add-one smoothing: its nats per held-out symbol.

    Args:
        train, held_out: ids `[N]`.
        symbols: size of the vocabulary.
    """
    smoothed = occurrences(train, symbols) + 1
    nats = -np.log(smoothed / smoothed.sum())[held_out]
    return Yardstick("frequency of each symbol", {"nats": float(nats.mean()) if nats.size else 0.0}, mean_error(nats))


def naive_forecast(held_out: Sequence[tuple[Values, int]], seasonal_period: int) -> Yardstick:
    """The seasonal naive forecast (without a season, the last value): its mean absolute error.

    Args:
        held_out: series, each validated on from an index on.
        seasonal_period: in steps; 0 without a season.
    """
    lag = max(1, seasonal_period)
    first = seasonal_period + 1  # index of the first value that the model forecasts
    errors = np.concatenate(
        [
            np.abs(series[max(first, start) :] - series[max(first, start) - lag : -lag]).ravel()
            for series, start in held_out
        ]
    )
    name = "value one season before" if seasonal_period > 1 else "last value"
    return Yardstick(name, {"mae": float(errors.mean())}, mean_error(errors))


def report_yardstick(described: Mapping[str, Any] | None, scores: Mapping[str, float], *, verbose: bool) -> None:
    """Print the best scores and the yardstick's on the same data; log a warning if they do not clearly beat it."""
    if described is None:
        return
    yardstick = Yardstick.from_dict(dict(described))
    if verbose:
        best = " · ".join(f"{name} {value:.4f}" for name, value in scores.items())
        trivial = " · ".join(f"{name} {value:.4f}" for name, value in yardstick.scores.items())
        ProgressBar().note(f"best: {best}; for comparison, the {yardstick.name}: {trivial}")
    if warning := verdict(yardstick, scores):
        logger.warning(warning)


def best_scores(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The validation scores of the best evaluation, by name."""
    best = [row for row in history if row["best"]][-1:]
    figures = [figure for row in best for figure in row.items()]
    return {name.removeprefix("valid_"): value for name, value in figures if name.startswith("valid_")}


def _best_tags(examples: Sequence[tuple[Sequence[str], Sequence[str]]]) -> dict[tuple[str, bool], str]:
    """The most frequent tag of each (word, True) and each (suffix, False)."""
    pairs = Counter(pair for words, tags in examples for pair in zip(words, tags, strict=True))
    counts: dict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
    for (word, tag), count in pairs.items():
        counts[word, True][tag] += count
        for length in range(1, min(_MAX_SUFFIX, len(word)) + 1):
            counts[word[-length:], False][tag] += count
    return {key: _most_frequent(tag_counts) for key, tag_counts in counts.items()}


def _predict(word: str, best: Mapping[tuple[str, bool], str], frequent: str) -> str:
    suffixes = (word[-length:] for length in range(min(_MAX_SUFFIX, len(word)), 0, -1))
    keys = [(word, True), *((suffix, False) for suffix in suffixes)]
    return next((best[key] for key in keys if key in best), frequent)


def _most_frequent(counts: Counter[str]) -> str:
    """The most frequent tag; of equally frequent ones, the first in alphabetical order."""
    return min(counts.items(), key=lambda item: (-item[1], item[0]))[0]
