"""Targets for the default settings on any data, and whether the results reach them.

Leads are in points of accuracy or F1, and positive if ours is better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import NamedTuple

from published import SERIES, SPANS, TAGS, TEXT

TFIDF = ("TF-IDF, words", "TF-IDF, letters")
NEAREST, ROCKET = "1-NN, DTW", "MiniRocket"
SUFFIXES, CRF = ("tag per word or suffix", "CRF")
FLOORS = {  # earlier results of the defaults
    "sst2_phrases": ("accuracy", 86.0),
    "ud_english_ewt": ("accuracy", 95.0),
    "multi30k_de_en": ("BLEU", 38.0),
    "tinyshakespeare": ("nats", 1.69),
}


class Row(NamedTuple):
    """Results on a data set at a size."""

    set: str
    kind: str
    n: int
    whole: bool
    seeds: int  # number of our runs
    ours: float | None  # mean over seeds; None if a run failed, or there was none
    worst: float | None  # over seeds
    minutes: float  # of the longest run
    allowed: int  # maximum minutes
    peers: Mapping[str, float]
    yardstick: float | None = None
    greater_is_better: bool = True
    failure: str = ""

    def lead(self, over: Sequence[str] = ()) -> float | None:
        """Our lead over the best of these peers, by default of all; None if one of them or ours is missing."""
        scores = [self.peers[name] for name in over or self.peers if name in self.peers]
        if self.ours is None or not scores or len(scores) < len(over):
            return None
        return self.ours - max(scores) if self.greater_is_better else min(scores) - self.ours

    def lead_over_yardstick(self) -> float | None:
        """The lead of the worst seed over the yardstick; for errors, the reduction in per cent."""
        if self.worst is None or self.yardstick is None:
            return None
        return self.worst - self.yardstick if self.greater_is_better else 100 * (1 - self.worst / self.yardstick)


class Target(NamedTuple):
    """A target and whether it is reached."""

    title: str
    reached: bool = False
    margin: float | None = None  # smallest margin, negative if missed; None: not measured
    where: str = ""  # row of the smallest margin
    missed: tuple[str, ...] = ()  # rows that miss it
    rows: int = 0  # number of rows with results


def each(title: str, rows: Iterable[Row], margin: Callable[[Row], float | None], strict: bool = False) -> Target:
    """A target for every row that has a margin: it is at least 0 or, if `strict`, above 0."""
    margins = sorted((value, f"{row.set} {row.n:,}") for row in rows if (value := margin(row)) is not None)
    if not margins:
        return Target(title)
    missed = tuple(name for value, name in margins if value < 0 or (strict and value == 0))
    return Target(title, not missed, *margins[0], missed, len(margins))


def mean(title: str, rows: Iterable[Row], over: Sequence[str], minimum: float) -> Target:
    """A target for the mean of the rows' leads over the best of these peers."""
    leads = [lead for row in rows if (lead := row.lead(over)) is not None]
    if not leads:
        return Target(title)
    margin = fmean(leads) - minimum
    return Target(title, margin >= 0, margin, "mean", rows=len(leads))


def _lead(over: Sequence[str], minimum: float = 0.0) -> Callable[[Row], float | None]:
    def margin(row: Row) -> float | None:
        lead = row.lead(over)
        return None if lead is None else lead - minimum

    return margin


def _over(row: Row, floor: float) -> float | None:
    if row.ours is None:
        return None
    return row.ours - floor if row.greater_is_better else floor - row.ours


def check_targets(rows: Sequence[Row]) -> list[Target]:
    """All targets, for rows with runs of ours."""
    texts = [row for row in rows if row.kind == TEXT]
    series = [row for row in rows if row.kind == SERIES]
    tags = [row for row in rows if row.kind in (TAGS, SPANS)]
    many, few = [row for row in texts if row.n >= 1000], [row for row in texts if row.n < 1000]
    whole = {row.set: row for row in rows if row.whole}
    return [
        each("texts, 1,000 or more: at most 1 point below TF-IDF", many, _lead(TFIDF, -1)),
        each("texts, fewer: at most 4 points below TF-IDF", few, _lead(TFIDF, -4)),
        mean("texts, whole sets: 1 point above TF-IDF on average", [row for row in texts if row.whole], TFIDF, 1),
        each("series: at most 2 points below 1-NN with DTW", series, _lead([NEAREST], -2)),
        mean("series: at most 3 points below MiniRocket on average", series, [ROCKET], -3),
        each("tags: above the most frequent tag per word or suffix", tags, _lead([SUFFIXES]), strict=True),
        each("tags: above the CRF", tags, _lead([CRF]), strict=True),
        each("no run at chance: every seed above the yardstick", rows, Row.lead_over_yardstick, strict=True),
        each("at most 10 minutes; 30 to translate or generate", rows, lambda row: row.allowed - row.minutes),
        each("no run fails or is stopped", rows, lambda row: 0.0 if row.ours is not None else -1.0),
        *(
            each(f"{name}, whole: {metric} {floor:g}", [whole[name]], partial(_over, floor=floor))
            for name, (metric, floor) in FLOORS.items()
            if name in whole
        ),
    ]
