"""How often a written text is wrong, and by how much."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def text_error_rate(found: Sequence[str], true: Sequence[str]) -> float:
    """The share of texts that are not exactly right, in %: of words written as phones, the word error rate."""
    return 100 * sum(f != t for f, t in zip(found, true, strict=True)) / len(true)


def symbol_error_rate(found: Sequence[Sequence[Hashable]], true: Sequence[Sequence[Hashable]]) -> float:
    """Edits from `found` to `true`, all sequences together, a symbol of `true`, in %: may be more than 100."""
    edits = sum(edit_distance(f, t) for f, t in zip(found, true, strict=True))
    return 100 * edits / max(1, sum(map(len, true)))


def edit_distance(left: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """The least number of symbols to insert, delete or replace to make `right` of `left` (Levenshtein 1966)."""
    row = list(range(len(right) + 1))
    for i, symbol in enumerate(left, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(right, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (symbol != other))
    return row[-1]
