"""What is held out where no validation data are given: at random, of every class its share, the same for a seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import stepscan as ss
from stepscan.estimators.examples import hold_out


def split(answers, stratified=True, labelled=True):
    """Answers held out, and those learned from; an answer is its own label."""
    examples = list(enumerate(answers))
    train, held_out = hold_out(
        examples,
        None,
        verbose=False,
        labels=lambda example: [example[1]] * labelled,
        stratified=(lambda example: example[1]) if stratified else None,
    )
    assert sorted(train + held_out) == examples
    assert train == sorted(train)
    assert held_out == sorted(held_out)
    return held_out, train


def test_of_a_file_sorted_by_class_every_class_gives_its_share():
    held_out, _ = split(["a"] * 100 + ["b"] * 50 + ["c"] * 10)
    assert Counter(label for _, label in held_out) == {"a": 10, "b": 5, "c": 1}


@pytest.mark.parametrize("rare", range(40))
def test_no_class_is_lost_to_the_validation_data(rare):
    labels = [f"class {number}" for number in range(10) for _ in range(5)]
    held_out, train = split(labels)
    assert len(held_out) == 5
    assert set(labels) == {label for _, label in train}
    held_out, train = split(["a"] * rare + ["rare"] + ["a"] * (39 - rare), stratified=False)
    assert ("rare" in dict(train).values(), len(held_out)) == (True, 4)


def test_numbers_are_drawn_from_low_to_high():
    held_out, _ = split(range(100), labelled=False)
    assert [number // 10 for _, number in held_out] == list(range(10))


def test_the_draw_is_at_random_and_always_the_same():
    """So models of several seeds are judged on the same examples, and can be joined."""
    labels = ["a", "b"] * 50
    held_out, _ = split(labels)
    assert held_out == split(labels)[0]
    assert len({place % 10 for place, _ in held_out}) > 3
    models = [ss.Classifier(hidden_size=4, embedding_size=4, epochs=1, seed=seed) for seed in (1, 2)]
    texts = [f"w{number} a b c" for number in range(100)]
    first, second = (model.fit(texts, labels).tokenizers_["tokenizer"].tokens for model in models)
    assert first == second
    assert ss.ensemble(models).predict(["a b"]).shape == (1,)


def test_small_data():
    assert len(split(["a", "a", "a"])[0]) == 1
    with pytest.raises(ss.SettingsError, match=r"one example \(1 sample\) cannot be split"):
        split(["a"])
    with pytest.raises(
        ss.SettingsError, match="none of the 3 examples can be held out for validation: each is the only"
    ):
        split(["a", "b", "c"])


def test_given_validation_data_are_taken_as_they_are():
    assert hold_out([1, 2], [3], verbose=False) == ([1, 2], [3])


def test_a_file_sorted_by_class_trains(tmp_path, run):
    """The last tenth would be one class alone."""
    rows = [f"a {word} film {number},{word}\n" for word in ("awful", "bad", "fine", "good") for number in range(10)]
    (tmp_path / "sorted.csv").write_text("text,label\n" + "".join(rows))
    command = ("train", "classify", "--train", tmp_path / "sorted.csv", "--out", tmp_path / "model", "--epochs", 1)
    result = run(*command)
    assert result.code == 0
    note = "no validation data given: a tenth (4 of 40), drawn at random, stratified, is held out"
    assert result.err.splitlines()[0] == note


def test_series_sorted_by_class_learn():
    """As published, such files are sorted: a model of the last class alone would be judged best by chance."""
    random = np.random.default_rng(0)
    X = [random.normal(size=(12, 1)) + 4 * (number // 20) for number in range(60)]
    y = [number // 20 for number in range(60)]
    model = ss.Classifier(hidden_size=8, embedding_size=8, epochs=20, batch_size=8, learning_rate=0.02, dropout=0.0)
    model.fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.history_[-1]["valid_accuracy"] > 0.8


def test_a_tag_of_one_sentence_alone_stays_in_training():
    sentences, tags = [["a", "b"]] * 19, [["A", "B"]] * 19
    for place in range(20):
        X, y = ([*all[:place], one, *all[place:]] for all, one in ((sentences, ["c"]), (tags, ["C"])))
        train, held_out = hold_out([*zip(X, y, strict=True)], None, verbose=False, labels=lambda example: example[1])
        assert {tag for _, of_sentence in train for tag in of_sentence} == {"A", "B", "C"}
        assert len(held_out) == 2
