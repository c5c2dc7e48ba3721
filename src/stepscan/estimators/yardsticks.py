"""The trivial models that estimators are held against, made of the training data and scored on the held-out data.

Of large data an even share of 100,000 examples is enough to count what is frequent.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from stepscan.data.series.values import Values
from stepscan.runtime.schemes import Scheme
from stepscan.runtime.tagger import tag_metrics
from stepscan.runtime.yardstick import Yardstick, mean_error, share_error, verdict
from stepscan.training.progress import ProgressBar

Item = TypeVar("Item")
Examples = Sequence[tuple[Any, Sequence[str]]]

logger = logging.getLogger(__name__)
_ENOUGH = 100_000
_LONGEST_SUFFIX = 5


def some(examples: Sequence[Item]) -> Sequence[Item]:
    """Not many more than 100,000 of the examples, from all over."""
    return examples[:: max(1, len(examples) // _ENOUGH)]


def frequent_tags(parts: Sequence[tuple[Examples, Examples]], scheme: Scheme | None) -> Yardstick:
    """The most frequent tag of each word; of a word unknown, that of the longest suffix known, up to 5 characters. Of
    the steps of series, the most frequent tag. `parts` are training and
    validation data: one pair, or the folds of a cross-validation."""
    found, true = [], []
    for train, held_out in ((some(train), some(held_out)) for train, held_out in parts):
        numeric = isinstance(train[0][0], np.ndarray)
        frequent = _most_frequent(Counter(tag for _, own in train for tag in own))
        best = {} if numeric else _by_ending(train)
        found += [[frequent if numeric else _tag(word, best, frequent) for word in words] for words, _ in held_out]
        true += [own for _, own in held_out]
    figures = tag_metrics(found, true, scheme)
    scores: dict[str, float] = {name: figures[name] for name in ("f1", "accuracy") if name in figures}
    count = figures["spans"] if scheme else sum(map(len, true))
    error = share_error(next(iter(scores.values())), count)
    if numeric:
        return Yardstick("most frequent tag", scores, error, frequent)
    return Yardstick("most frequent tag of each word", scores, error)


def symbol_frequencies(train: np.ndarray, held_out: np.ndarray, symbols: int) -> Yardstick:
    """Each symbol with its frequency in the training data, one added to each count: nats of the held-out ids."""
    counts = np.bincount(train, minlength=symbols) + 1
    nats = -np.log(counts / counts.sum())[held_out]
    return Yardstick("frequency of each symbol", {"nats": float(nats.mean()) if nats.size else 0.0}, mean_error(nats))


def naive_forecast(judged: Sequence[tuple[Values, int]], season: int) -> Yardstick:
    """Each number is what it was one season, or without one a step, before: the mean absolute error of each series from
    a place on."""
    lag = max(1, season)
    first = season + 1  # that the model forecasts
    errors = [np.abs(one[max(first, start) :] - one[max(first, start) - lag : -lag]).ravel() for one, start in judged]
    together = np.concatenate(errors)
    name = "value one season before" if season > 1 else "last value"
    return Yardstick(name, {"mae": float(together.mean())}, mean_error(together))


def tell(described: Mapping[str, Any] | None, scores: Mapping[str, float], *, verbose: bool) -> None:
    """Report the yardstick beside the best scores on the same data; log a warning if they do not clearly beat it."""
    if described is None:
        return
    yardstick = Yardstick.from_dict(dict(described))
    if verbose:
        own = " · ".join(f"{name} {value:.4f}" for name, value in scores.items())
        trivial = " · ".join(f"{name} {value:.4f}" for name, value in yardstick.scores.items())
        ProgressBar().note(f"best: {own}; for comparison, the {yardstick.name}: {trivial}")
    if said := verdict(yardstick, scores):
        logger.warning(said)


def best_scores(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The validation scores of the best evaluation."""
    best = [row for row in history if row["best"]][-1:]
    figures = [figure for row in best for figure in row.items()]
    return {name.removeprefix("valid_"): value for name, value in figures if name.startswith("valid_")}


def _by_ending(examples: Sequence[tuple[Sequence[str], Sequence[str]]]) -> dict[tuple[str, bool], str]:
    """The most frequent tag of each (word, True) and each (suffix, False)."""
    pairs = Counter(pair for words, tags in examples for pair in zip(words, tags, strict=True))
    counts: dict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
    for (word, tag), count in pairs.items():
        counts[word, True][tag] += count
        for length in range(1, min(_LONGEST_SUFFIX, len(word)) + 1):
            counts[word[-length:], False][tag] += count
    return {key: _most_frequent(own) for key, own in counts.items()}


def _tag(word: str, best: Mapping[tuple[str, bool], str], frequent: str) -> str:
    endings = (word[-length:] for length in range(min(_LONGEST_SUFFIX, len(word)), 0, -1))
    keys = [(word, True), *((ending, False) for ending in endings)]
    return next((best[key] for key in keys if key in best), frequent)


def _most_frequent(counts: Counter[str]) -> str:
    return min(counts.items(), key=lambda one: (-one[1], one[0]))[0]
