"""What is held out where no validation data are given: at random, of every class its share, the same for a seed."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stepscan as ss
from stepscan.estimators.data_split import folds, hold_out, same_input


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
    command = (
        "train",
        "classify",
        "--train",
        tmp_path / "sorted.csv",
        "--out",
        tmp_path / "model",
        "--epochs",
        1,
        "--no-refit",
    )
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
    model.set_params(decay_ratio=1.0, ema_decay=0.0, refit=False, wide=False).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.history_[-1]["valid_accuracy"] > 0.8


def test_a_tag_of_one_sentence_alone_stays_in_training():
    sentences, tags = [["a", "b"]] * 19, [["A", "B"]] * 19
    for place in range(20):
        X, y = ([*all[:place], one, *all[place:]] for all, one in ((sentences, ["c"]), (tags, ["C"])))
        train, held_out = hold_out([*zip(X, y, strict=True)], None, verbose=False, labels=lambda example: example[1])
        assert {tag for _, tags in train for tag in tags} == {"A", "B", "C"}
        assert len(held_out) == 2


def sides(examples, **options):
    """What is held out of examples (input, label), and what is learned from."""
    options = {"labels": lambda example: [example[1]], "stratified": lambda example: example[1], **options}
    train, held_out = hold_out(examples, None, verbose=False, groups=same_input, **options)
    return held_out, train


def test_copies_are_on_one_side():
    """Also where their labels differ, and where one has white space around it."""
    examples = [(f"text {n % 50}" + " " * (n // 50), "ab"[n % 7 == 0]) for n in range(100)]
    held_out, train = sides(examples)
    assert not {text.strip() for text, _ in held_out} & {text.strip() for text, _ in train}
    assert sorted(train + held_out) == sorted(examples)
    assert (len(held_out), {label for _, label in held_out}) == (10, {"a", "b"})  # 5 texts, twice each


@pytest.mark.parametrize("text", range(20))
def test_a_text_that_is_a_large_part_of_the_data_stays_in_training(text):
    examples = [(f"text {n}", "a") for n in range(80)]
    examples[text:text] = [("ok", "a")] * 20
    held_out, train = sides(examples)
    assert len(held_out) == 8  # of 81 different ones
    assert train.count(("ok", "a")) == 20


def test_of_large_groups_alone_one_is_held_out():
    examples = [(f"{word} film", label) for word, label in zip("wxyz", "aabb", strict=True) for _ in range(10)]
    held_out, train = sides(examples)
    assert (len(held_out), len(set(held_out))) == (10, 1)
    assert {label for _, label in train} == {"a", "b"}


@pytest.mark.parametrize(
    "examples",
    [
        [("the same", "a")] * 20,
        [("the same", "a"), ("the same", "b")] * 10,
        [("good", "a"), ("bad", "b")] * 10,
        [("good", "a"), ("good ", "a")],
    ],
)
def test_where_there_are_only_copies_it_says_that_the_score_means_little(examples, caplog):
    held_out, train = sides(examples)
    assert len(held_out) == max(1, len(examples) // 10)
    assert {label for _, label in train} == {label for _, label in examples}
    [message] = [record.getMessage() for record in caplog.records]
    assert "the held-out data has copies in the training data: validation scores measure memorisation" in message


def test_series_and_sentences_are_the_same_by_what_they_hold():
    one = np.arange(4.0).reshape(4, 1)
    assert same_input((one, "a")) == same_input((one.copy(), "b"))
    assert same_input((one, "a")) != same_input((one.reshape(2, 2), "a"))
    assert same_input((one, "a")) != same_input((one + 1e-9, "a"))
    assert same_input((["a", "b"], ["X", "Y"])) == same_input((("a", "b"), ["Z", "Y"]))
    assert same_input((["a", "b"], ["X", "Y"])) != same_input((["ab"], ["X"]))


LABELLED = st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abc")), min_size=2, max_size=60)


@given(LABELLED, st.integers(2, 10))
def test_no_group_is_on_both_sides_and_no_label_vanishes(examples, k):
    examples = [(f"{text}{place % 11}", label) for place, (text, label) in enumerate(examples)]
    options = {"labels": lambda example: [example[1]], "stratified": lambda example: example[1], "groups": same_input}
    if len({label for _, label in examples}) == len(examples):
        with pytest.raises(ss.SettingsError, match="can be held out"):
            hold_out(examples, None, verbose=False, **options)
        return
    splits = [hold_out(examples, None, verbose=False, **options), *folds(examples, k, **options)]
    texts_with = {label: {text for text, own in examples if own == label} for _, label in examples}
    each_has_a_label_alone = {text for text, _ in examples} == set(
        chain(*(own for own in texts_with.values() if len(own) == 1))
    )
    for train, held_out in splits:
        assert held_out
        assert sorted(train + held_out) == sorted(examples)
        assert {label for _, label in train} == {label for _, label in examples}
        assert each_has_a_label_alone or not {text for text, _ in train} & {text for text, _ in held_out}


def test_folds_hold_each_example_out_once():
    examples = [(f"text {n % 40}", "abcd"[n % 4]) for n in range(50)] + [("alone", "e")]
    parts = folds(examples, 5, labels=lambda one: [one[1]], stratified=lambda one: one[1], groups=same_input)
    assert sorted(one for _, held_out in parts for one in held_out) == sorted(examples[:-1])
    for train, held_out in parts:
        assert sorted(train + held_out) == sorted(examples)
        assert not set(train) & set(held_out)
        assert Counter(label for _, label in {*held_out}) == {"a": 2, "b": 2, "c": 2, "d": 2}
        assert ("alone", "e") in train
    assert parts == folds(examples, 5, labels=lambda one: [one[1]], stratified=lambda one: one[1], groups=same_input)


def test_folds_of_tiny_data():
    assert sorted(folds([1, 2], 5)) == [([1], [2]), ([2], [1])]
    three = folds([("x", "a"), ("y", "a"), ("z", "b")], 3, labels=lambda one: [one[1]], groups=same_input)
    assert sorted(one for _, held_out in three for one in held_out) == [("x", "a"), ("y", "a")]
    with pytest.raises(ss.SettingsError, match="folds: expected 2 or more, got 1"):
        folds([1, 2], 1)
    with pytest.raises(ss.SettingsError, match="none of the 2 examples can be held out"):
        folds(["a", "b"], 2, labels=lambda one: [one])


def test_validation_data_that_repeat_training_data_are_mentioned(caplog):
    examples, validation = [("a b", "x"), ("c", "y")], [("a b ", "y"), ("d", "x"), ("c", "y")]
    assert hold_out(examples, validation, verbose=False, groups=same_input) == (examples, validation)
    assert [record.getMessage() for record in caplog.records] == [
        "2 of the 3 validation examples are in the training data, too: for them the validation scores measure "
        "memorisation, not generalisation"
    ]


@pytest.mark.parametrize(
    ("kind", "X", "y"),
    [
        (ss.Classifier, [f"text {n % 20}" for n in range(40)], [f"{n % 2}" for n in range(40)]),
        (ss.Tagger, [["a", f"{n % 20}"] for n in range(40)], [["A", "B"]] * 40),
        (ss.Translator, [f"text {n % 20}" for n in range(40)], ["b"] * 40),
    ],
)
def test_estimators_keep_copies_together(kind, X, y, run, capsys):
    kind(hidden_size=4, embedding_size=4, epochs=1, refit=False, verbose=True).fit(X, y)
    assert "a tenth of the 20 different ones (4 of 40 examples), drawn at random" in capsys.readouterr().err
