from __future__ import annotations

import itertools
from functools import cache

import pytest

from stepscan.evaluation.error_rates import edit_distance, symbol_error_rate, text_error_rate


@cache
def by_definition(left: str, right: str) -> int:
    if not left or not right:
        return len(left) + len(right)
    return min(
        by_definition(left[1:], right) + 1,
        by_definition(left, right[1:]) + 1,
        by_definition(left[1:], right[1:]) + (left[0] != right[0]),
    )


def test_edit_distance_by_definition():
    texts = ["".join(letters) for n in range(5) for letters in itertools.product("ab", repeat=n)] + [
        "kitten",
        "sitting",
    ]
    for left, right in itertools.product(texts, texts):
        assert edit_distance(left, right) == by_definition(left, right), (left, right)


def test_rates_by_hand():
    assert text_error_rate(["a b", "c", ""], ["a b", "c c", "x"]) == pytest.approx(200 / 3)
    assert symbol_error_rate([["a", "b"], ["c"], []], [["a", "b"], ["c", "c"], ["x"]]) == pytest.approx(100 * 2 / 5)
    assert symbol_error_rate([[1, 2, 3]], [[9]]) == 300, "more edits than symbols"
    assert symbol_error_rate([[]], [[]]) == 0
