"""Folds of a cross-validation that end by the clock."""

from __future__ import annotations

from toy_tasks import ordered

import stepscan as ss


def test_folds_that_a_time_budget_ends_are_evaluated_alike():
    """The clock ends the first fold; the others train for as many updates, so that their evaluations go together."""
    texts, labels = ordered(60, 1)
    sizes = {"hidden_size": 8, "embedding_size": 8, "wide": False}
    model = ss.Classifier(time_budget=2.0, **sizes).fit(texts, labels)
    folds = [row for row in model.history_ if "fold" in row]
    ends = {row["fold"]: row["updates"] for row in folds}
    assert sorted(ends) == [1, 2, 3, 4]
    assert len(set(ends.values())) == 1
    assert model.history_[-1]["updates"] <= ends[1]
