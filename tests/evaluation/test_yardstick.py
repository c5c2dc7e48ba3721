"""Trivial models: what they answer and score, when a model beats them, and what a folder may say of them."""

from __future__ import annotations

import pytest
from sklearn.metrics import f1_score

from stepscan.evaluation.yardstick import Yardstick, best_constant, constant, guess, verdict


def test_the_majority_class_of_the_training_data():
    found = best_constant("classification", ["a"] * 6 + ["b"] * 4, ["a", "b", "b", "b"])
    assert (found.name, found.answer) == ("majority class", "a")
    assert found.scores == {"accuracy": 0.25, "macro_f1": pytest.approx(0.2)}  # F1 of a is 2/5, of b 0
    assert found.error == pytest.approx((0.25 * 0.75 / 4) ** 0.5)
    assert best_constant("classification", [2, 1], [1, 2]).answer == 1  # of equals the least


def test_the_labels_whose_f1_is_best():
    train = [["a", "b"], ["a", "b"], ["a"], ["c"], []]
    found = best_constant("multilabel", train, [["a"], ["b"]])
    assert found.answer == ["a", "b"]  # F1 on the training data: a alone 6/11, with b 10/16, with c 12/21
    assert found.scores == {"micro_f1": pytest.approx(2 / 3), "macro_f1": pytest.approx(2 / 3), "exact": 0.0}
    assert best_constant("multilabel", [[], [], [], ["a"]], [["a"]]).answer == ["a"]


def test_the_mean_of_numbers():
    found = best_constant("regression", [1.0, 2.0, 6.0], [3.0, 5.0])
    assert found.answer == 3
    assert found.scores == {"rmse": pytest.approx(2**0.5), "mae": 1.0}
    assert found.error == pytest.approx(2 / 2**0.5 / (2 * 2**0.5))  # squares 0 and 4
    assert constant("regression", 3.0, [3.0]).error == 0


def test_no_guess_has_a_better_macro_f1():
    true = ["a"] * 90 + ["b"] * 10
    found = guess(true)
    assert found.scores == {"macro_f1": 0.5}
    assert found.error == pytest.approx((0.25 / 90 + 0.25 / 10) ** 0.5 / 2)
    assert f1_score(true, ["a"] * 100, average="macro", zero_division=0) < 0.5


@pytest.mark.parametrize(
    ("measure", "trivial", "beaten", "near", "worse"),
    [("accuracy", 0.5, 0.56, 0.54, 0.5), ("nats", 2.0, 1.9, 1.96, 2.0), ("bleu", 30.0, 31.0, 30.01, 20.0)],
)
def test_a_score_must_be_better_by_more_than_chance(measure, trivial, beaten, near, worse):
    yardstick = Yardstick("trivial model", {measure: trivial}, 0.05)
    assert verdict(yardstick, {measure: beaten}) == ""
    assert "this model is not clearly better than the trivial model (" in verdict(yardstick, {measure: near})
    assert "this model is no better than the trivial model (" in verdict(yardstick, {measure: worse})
    assert verdict(yardstick, {"other": worse}) == ""


def test_what_it_says():
    yardstick = Yardstick("majority class", {"accuracy": 0.5, "macro_f1": 0.3}, 0.02, "x")
    assert verdict(yardstick, {"nats": 1.0, "macro_f1": 0.9, "accuracy": 0.49}) == (
        "this model is no better than always answering 'x', the majority class (accuracy 0.4900 against 0.5000 ± "
        "0.0200); what would help: more updates (--max-updates), more examples, another --cell, or --class-weights "
        "balanced where classes are imbalanced"
    )
    labels = Yardstick("most frequent labels", {"micro_f1": 0.5}, 0.0, ["x", "y"])
    assert "than always answering 'x', 'y', the most frequent labels (micro_f1 0.1000 against 0.5000); what" in verdict(
        labels, {"micro_f1": 0.1}
    )
    perfect = Yardstick("most frequent tag of each word", {"accuracy": 1.0})
    assert verdict(perfect, {"accuracy": 1.0}).endswith("which makes no mistake either: these data cannot tell more")
    assert "what would help" in verdict(perfect, {"accuracy": 0.9})


def test_what_a_folder_keeps_of_it():
    yardstick = Yardstick("majority class", {"accuracy": 0.5}, 0.1, "a")
    assert Yardstick.from_dict(yardstick.to_dict()) == yardstick


GOOD = {"name": "n", "scores": {"accuracy": 0.5}, "error": 0.1, "answer": None}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"more": 1}, "an object with name, scores, error and answer"),
        ({"name": 3}, "names of at most 100 printable characters"),
        ({"name": "x" * 101}, "names of at most 100"),
        ({"name": "\x1b[2J"}, "names of at most 100"),
        ({"scores": {"\n": 1.0}}, "names of at most 100"),
        ({"scores": [1]}, "scores and an error that are finite numbers"),
        ({"scores": {"accuracy": "0.5"}}, "scores and an error that are finite"),
        ({"scores": {"accuracy": 10**400}}, "scores and an error that are finite"),
        ({"error": None}, "scores and an error that are finite"),
        ({"error": float("nan")}, "scores and an error that are finite"),
        ({"answer": {}}, "an answer that is a label"),
        ({"answer": [[]]}, "an answer that is a label"),
        ({"answer": 10**400}, "an answer that is a label"),
        ({"answer": 1e300}, "an answer that is a label"),
    ],
)
def test_what_no_folder_may_say(change, expected):
    with pytest.raises(ValueError, match=f"expected {expected}"):
        Yardstick.from_dict({**GOOD, **change})
    with pytest.raises(ValueError, match="expected an object with"):
        Yardstick.from_dict([])
