"""Spans and their F1 by hand, and against seqeval, which counts as conlleval does."""

from __future__ import annotations

import random

import pytest

import stepscan as ss
from stepscan.evaluation.spans import Span, span_scores, spans


def test_spans_as_conlleval_reads_them():
    """An I- after O, at the beginning, or of another type begins a span; so does any B-."""
    sentences = [
        ["B-a", "I-a", "O", "B-a", "B-a"],
        ["I-a", "I-b", "I-b", "O", "I-a"],
        [],
        ["B-a", "I-b", "B-b", "I-b"],
    ]
    assert spans(sentences) == [
        Span(0, 0, 1, "a"),
        Span(0, 3, 3, "a"),
        Span(0, 4, 4, "a"),
        Span(1, 0, 0, "a"),
        Span(1, 1, 2, "b"),
        Span(1, 4, 4, "a"),
        Span(3, 0, 0, "a"),
        Span(3, 1, 1, "b"),
        Span(3, 2, 3, "b"),
    ]


def test_a_type_with_a_hyphen():
    assert spans([["B-creative-work", "I-creative-work", "I-work"]]) == [
        Span(0, 0, 1, "creative-work"),
        Span(0, 2, 2, "work"),
    ]


def test_scores_by_hand():
    true = [["B-a", "I-a", "O", "B-b"], ["B-a", "O"]]
    said = [["B-a", "O", "O", "B-b"], ["B-a", "B-c"]]  # one too short, two right, one that is not there
    assert span_scores(said, true) == {
        "f1": pytest.approx(2 * 2 / (4 + 3)),
        "precision": 2 / 4,
        "recall": pytest.approx(2 / 3),
        "spans": 3,
        "types": {
            "a": {"f1": 0.5, "precision": 0.5, "recall": 0.5, "spans": 2},
            "b": {"f1": 1.0, "precision": 1.0, "recall": 1.0, "spans": 1},
            "c": {"f1": 0.0, "precision": 0.0, "recall": 0.0, "spans": 0},
        },
    }


def test_the_same_span_in_another_sentence_is_not_found():
    assert span_scores([["O"], ["B-a"]], [["B-a"], ["O"]])["f1"] == 0


def test_nothing_there_and_nothing_said():
    assert span_scores([["O"]], [["O"]]) == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "spans": 0, "types": {}}


@pytest.mark.parametrize("seed", range(30))
def test_against_seqeval(seed):
    """On tags drawn at random, which break IOB2 in every way."""
    metrics = pytest.importorskip("seqeval.metrics")
    draw = random.Random(seed)
    tags = ["O", "B-a", "I-a", "B-b-c", "I-b-c", "B-d"]
    lengths = [draw.randint(0, 9) for _ in range(12)]
    true, said = ([draw.choices(tags, k=length) for length in lengths] for _ in range(2))
    found = span_scores(said, true)
    report = metrics.classification_report(true, said, output_dict=True, zero_division=0)
    mine = {**found["types"], "micro avg": found}
    for name, row in mine.items():
        expected = [report[name][figure] for figure in ("f1-score", "precision", "recall", "support")]
        assert [row[figure] for figure in ("f1", "precision", "recall", "spans")] == pytest.approx(expected)
    assert set(report) - {"macro avg", "weighted avg"} == set(mine)


def test_a_tag_that_marks_nothing():
    with pytest.raises(ss.SettingsError, match="sentence 2, token 1: expected O, B-… or I-…, got 'NOUN'"):
        spans([["O"], ["NOUN"]])
