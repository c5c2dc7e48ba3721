"""What the defaults owe on any data, and whether a table of results shows it.

Leads are in points (of accuracy, F1) and positive where ours is better.
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
FLOORS = {  # what the defaults reached before
    "sst2_phrases": ("accuracy", 86.0),
    "ud_english_ewt": ("accuracy", 95.0),
    "multi30k_de_en": ("BLEU", 38.0),
    "tinyshakespeare": ("nats", 1.69),
}


class Row(NamedTuple):
    """A set at a size: our figure and those beside it."""

    set: str
    kind: str
    n: int
    whole: bool
    seeds: int  # runs of ours
    ours: float | None  # mean of the seeds; None: a run failed, or there was none
    worst: float | None  # of the seeds
    minutes: float  # of the longest run
    allowed: int  # minutes
    peers: Mapping[str, float]
    yardstick: float | None = None
    greater_is_better: bool = True
    failure: str = ""

    def lead(self, over: Sequence[str] = ()) -> float | None:
        """Over the best of these peers (of all, if none is named); None where they or ours are missing."""
        figures = [self.peers[name] for name in over or self.peers if name in self.peers]
        if self.ours is None or not figures or len(figures) < len(over):
            return None
        return self.ours - max(figures) if self.greater_is_better else min(figures) - self.ours

    def lead_over_yardstick(self) -> float | None:
        """Of the worst seed; of an error, by how many % of the yardstick's it is less."""
        if self.worst is None or self.yardstick is None:
            return None
        return self.worst - self.yardstick if self.greater_is_better else 100 * (1 - self.worst / self.yardstick)


class Judgement(NamedTuple):
    """A target, by how much it is reached (or missed, below 0), where that is least, and where it is missed."""

    target: str
    reached: bool = False
    margin: float | None = None  # None: nothing to judge by
    where: str = ""
    missed: tuple[str, ...] = ()
    of: int = 0


def each(target: str, rows: Iterable[Row], margin: Callable[[Row], float | None], strict: bool = False) -> Judgement:
    """Judge every row that has what it takes by its margin, which is 0 or more, or `strict`ly more."""
    margins = sorted((value, f"{row.set} {row.n:,}") for row in rows if (value := margin(row)) is not None)
    if not margins:
        return Judgement(target)
    missed = tuple(name for value, name in margins if value < 0 or (strict and value == 0))
    return Judgement(target, not missed, *margins[0], missed, len(margins))


def mean(target: str, rows: Iterable[Row], over: Sequence[str], least: float) -> Judgement:
    """Judge the mean of the rows' leads over the best of these peers."""
    leads = [lead for row in rows if (lead := row.lead(over)) is not None]
    if not leads:
        return Judgement(target)
    margin = fmean(leads) - least
    return Judgement(target, margin >= 0, margin, "mean", of=len(leads))


def _lead(over: Sequence[str], least: float = 0.0) -> Callable[[Row], float | None]:
    def margin(row: Row) -> float | None:
        lead = row.lead(over)
        return None if lead is None else lead - least

    return margin


def _over(row: Row, floor: float) -> float | None:
    if row.ours is None:
        return None
    return row.ours - floor if row.greater_is_better else floor - row.ours


def judgements(rows: Sequence[Row]) -> list[Judgement]:
    """Of rows that have runs of ours."""
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
        each("minutes: 10; 30 to translate or generate", rows, lambda row: row.allowed - row.minutes),
        each("no run fails or is stopped", rows, lambda row: 0.0 if row.ours is not None else -1.0),
        *(
            each(f"{name}, whole: {metric} {floor:g}", [whole[name]], partial(_over, floor=floor))
            for name, (metric, floor) in FLOORS.items()
            if name in whole
        ),
    ]
