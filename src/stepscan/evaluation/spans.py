"""Spans in tags that mark them, and their precision, recall and F1.

Spans and their matches are those of the CoNLL-2000 script `conlleval` (Tjong Kim Sang & Buchholz 2000): a predicted
span is correct if it has exactly the tokens and the type of a true one. A tag that does not continue a span begins
one, so that tags that break their scheme are counted too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from stepscan.errors import SettingsError
from stepscan.evaluation.schemes import OUTSIDE, Mark, Scheme, continues

IOB2 = Scheme()


class Span(NamedTuple):
    """A span of tokens."""

    sentence: int  # counted from 0, as are tokens
    first: int
    last: int
    type: str


def spans(sentences: Iterable[Sequence[str]], scheme: Scheme = IOB2) -> list[Span]:
    """The spans of tagged sentences, in order.

    Raises:
        SettingsError: a tag is not one of the scheme; its sentence and token are named, from 1.
    """
    result, marks = [], {"O": OUTSIDE}
    for index, tags in enumerate(sentences):
        first, previous = 0, OUTSIDE
        for position, tag in enumerate([*tags, "O"]):
            mark = marks.get(tag) or _parse_tag(tag, scheme, index, position)
            marks[tag] = mark
            if not continues(mark, previous):
                if previous is not OUTSIDE:
                    result.append(Span(index, first, position - 1, previous.type))
                first = position
            previous = mark
    return result


def span_scores(
    predicted: Iterable[Sequence[str]], true: Iterable[Sequence[str]], scheme: Scheme = IOB2
) -> dict[str, Any]:
    """Precision, recall and F1 of spans, 0 … 1.

    Returns:
        `f1`, `precision` and `recall` over all spans, `spans`, the number of true ones, and `types`, the same by type.
        A score with a denominator of 0 is 0.

    Raises:
        SettingsError: a tag is not one of the scheme.
    """
    predicted_spans, true_spans = set(spans(predicted, scheme)), set(spans(true, scheme))
    sets = predicted_spans & true_spans, predicted_spans, true_spans
    counts = [Counter(span.type for span in several) for several in sets]
    types = {
        name: _precision_recall_f1(*(count[name] for count in counts)) | {"spans": counts[2][name]}
        for name in sorted(counts[1] | counts[2])
    }
    return {**_precision_recall_f1(*map(len, sets)), "spans": len(true_spans), "types": types}


def _parse_tag(tag: str, scheme: Scheme, index: int, position: int) -> Mark:
    mark = scheme.notation.mark(tag)
    if mark is None:
        raise SettingsError(f"sentence {index + 1}, token {position + 1}: expected {scheme.expected()}, got {tag!r}")
    return mark


def _precision_recall_f1(correct: int, predicted: int, true: int) -> dict[str, float]:
    """The scores, from the numbers of spans."""
    precision, recall = correct / max(predicted, 1), correct / max(true, 1)
    f1 = 2 * correct / max(predicted + true, 1)
    return {"f1": f1, "precision": precision, "recall": recall}
