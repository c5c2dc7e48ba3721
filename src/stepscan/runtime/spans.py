"""Spans in tags that mark them, and how many of them were found.

What a span is, and what counts as found, is as in the CoNLL-2000 script `conlleval` (Tjong Kim Sang & Buchholz 2000):
exactly the same tokens and the same type. A tag that continues nothing begins a span of its own; so tags that break
their scheme are counted too, and those of another scheme with the same types mean what they say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from stepscan.errors import SettingsError
from stepscan.runtime.schemes import OUTSIDE, Mark, Scheme, continues

IOB2 = Scheme()


class Span(NamedTuple):
    sentence: int  # counted from 0, as are tokens
    first: int
    last: int
    type: str


def spans(sentences: Iterable[Sequence[str]], scheme: Scheme = IOB2) -> list[Span]:
    """The spans of tagged sentences, in order.

    Raises:
        SettingsError: a tag is not written as the scheme's are; its sentence and token are named, from 1.
    """
    found, known = [], {"O": OUTSIDE}
    for number, tags in enumerate(sentences):
        first, before = 0, OUTSIDE
        for place, tag in enumerate([*tags, "O"]):
            mark = known.get(tag) or _read(tag, scheme, number, place)
            known[tag] = mark
            if not continues(mark, before):
                if before is not OUTSIDE:
                    found.append(Span(number, first, place - 1, before.type))
                first = place
            before = mark
    return found


def span_scores(found: Iterable[Sequence[str]], true: Iterable[Sequence[str]], scheme: Scheme = IOB2) -> dict[str, Any]:
    """Precision, recall and F1 of spans, 0 … 1: `f1`, `precision`, `recall` over all of them, and `types`, of each
    type the same, with `spans`, how many there truly are. Where nothing could be right, the figure is 0."""
    said, wanted = set(spans(found, scheme)), set(spans(true, scheme))
    sets = {"right": said & wanted, "said": said, "wanted": wanted}
    counts = {name: Counter(span.type for span in several) for name, several in sets.items()}
    of_types = {
        kind: _figures(*(count[kind] for count in counts.values())) | {"spans": counts["wanted"][kind]}
        for kind in sorted(counts["said"] | counts["wanted"])
    }
    return {**_figures(*map(len, sets.values())), "spans": len(wanted), "types": of_types}


def _read(tag: str, scheme: Scheme, number: int, place: int) -> Mark:
    mark = scheme.notation.mark(tag)
    if mark is None:
        raise SettingsError(f"sentence {number + 1}, token {place + 1}: expected {scheme.expected()}, got {tag!r}")
    return mark


def _figures(right: int, said: int, wanted: int) -> dict[str, float]:
    precision, recall = right / max(said, 1), right / max(wanted, 1)
    f1 = 2 * right / max(said + wanted, 1)
    return {"f1": f1, "precision": precision, "recall": recall}
