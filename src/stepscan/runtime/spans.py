"""Spans in tags of the kind B-person, I-person, O (IOB2), and how many of them were found.

What a span is, and what counts as found, is as in the CoNLL-2000 script `conlleval` (Tjong Kim Sang & Buchholz 2000):
exactly the same tokens and the same type; an I- that continues nothing begins a span of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from stepscan.errors import SettingsError


class Span(NamedTuple):
    sentence: int  # counted from 0, as are tokens
    first: int
    last: int
    type: str


def are_spans(tags: Iterable[Any]) -> bool:
    """Whether tags look like IOB2: O, B-… and I-… alone, with at least one B-…"""
    kinds = {str(tag) for tag in tags}
    return all(_is_span_tag(kind) for kind in kinds) and any(kind.startswith("B-") for kind in kinds)


def spans(sentences: Iterable[Sequence[str]]) -> list[Span]:
    """The spans of tagged sentences, in order.

    Raises:
        SettingsError: a tag is not O, B-… or I-…; its sentence and token are named, from 1.
    """
    found = []
    for number, tags in enumerate(sentences):
        first = 0
        for place, tag in enumerate(tags):
            if not _is_span_tag(tag):
                raise SettingsError(f"sentence {number + 1}, token {place + 1}: expected O, B-… or I-…, got {tag!r}")
            if tag[0] == "B" or not _continues(tag, tags[place - 1] if place else "O"):
                first = place
            if tag != "O" and not (place + 1 < len(tags) and _continues(tags[place + 1], tag)):
                found.append(Span(number, first, place, tag[2:]))
    return found


def span_scores(found: Iterable[Sequence[str]], true: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Precision, recall and F1 of spans, 0 … 1: `f1`, `precision`, `recall` over all of them, and `types`, of each
    type the same, with `spans`, how many there truly are. Where nothing could be right, the figure is 0."""
    said, wanted = set(spans(found)), set(spans(true))
    sets = {"right": said & wanted, "said": said, "wanted": wanted}
    counts = {name: Counter(span.type for span in several) for name, several in sets.items()}
    of_types = {
        kind: _figures(*(count[kind] for count in counts.values())) | {"spans": counts["wanted"][kind]}
        for kind in sorted(counts["said"] | counts["wanted"])
    }
    return {**_figures(*map(len, sets.values())), "spans": len(wanted), "types": of_types}


def forbidden_transitions(tags: Sequence[str]) -> list[list[int]]:
    """Pairs of numbers of tags that cannot follow each other in IOB2: an I- after anything but its own type's B- or I-.

    -1 stands for the beginning of a sentence.
    """
    before = [(-1, "O"), *enumerate(tags)]
    return [
        [number, after]
        for number, tag in before
        for after, following in enumerate(tags)
        if following.startswith("I-") and not _continues(following, tag)
    ]


def first_break(sentences: Iterable[Sequence[str]]) -> tuple[int, int] | None:
    """Sentence and token, from 1, of the first I- that continues nothing; None if all is IOB2."""
    for number, tags in enumerate(sentences, start=1):
        for place, (before, tag) in enumerate(zip(["O", *tags], tags, strict=False), start=1):
            if tag.startswith("I-") and not _continues(tag, before):
                return number, place
    return None


def _is_span_tag(tag: Any) -> bool:
    return bool(re.fullmatch(r"O|[BI]-.+", str(tag)))


def _continues(tag: str, before: str) -> bool:
    """Whether a tag goes on with the span that the tag before it is of."""
    return tag.startswith("I-") and before != "O" and before[2:] == tag[2:]


def _figures(right: int, said: int, wanted: int) -> dict[str, float]:
    precision, recall = right / max(said, 1), right / max(wanted, 1)
    f1 = 2 * right / max(said + wanted, 1)
    return {"f1": f1, "precision": precision, "recall": recall}
