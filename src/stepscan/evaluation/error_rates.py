"""Error rates of predicted texts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def text_error_rate(predicted: Sequence[str], true: Sequence[str]) -> float:
    """The share of texts that are not exactly right, in %; for words to phones, the word error rate."""
    return 100 * sum(f != t for f, t in zip(predicted, true, strict=True)) / len(true)


def symbol_error_rate(predicted: Sequence[Sequence[Hashable]], true: Sequence[Sequence[Hashable]]) -> float:
    """The edits from `predicted` to `true` per symbol of `true`, over all sequences, in %; may be above 100."""
    edits = sum(edit_distance(f, t) for f, t in zip(predicted, true, strict=True))
    return 100 * edits / max(1, sum(map(len, true)))


def edit_distance(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """The minimum number of insertions, deletions and replacements from `left` to `right` (Levenshtein 1966)."""
    row = list(range(len(right) + 1))
    for i, symbol in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(right, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (symbol != other))
    return row[-1]
