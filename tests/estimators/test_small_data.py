"""Few examples: cross-validation says how long to train, and the model that is kept has seen them all."""

from __future__ import annotations

import random

import numpy as np
import pytest

import stepscan as ss
from stepscan.training.defaults import REFITTED

TINY = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "batch_size": 8}
QUICK = {"hidden_size": 8, "embedding_size": 8, "max_updates": 100}


def reviews(count, rare=2):
    """Every so-manieth of them is bad; one word says so."""
    draw, labels = random.Random(0), ["bad" if n % rare == 0 else "good" for n in range(count)]
    words = {"good": ["fine", "lovely"], "bad": ["dull", "awful"]}
    return [f"a {draw.choice(words[label])} film {draw.choice('uvwxyz')} {n}" for n, label in enumerate(labels)], labels


def parts(model):
    return {row["fold"] for row in model.history_ if "fold" in row}


def is_trained_on_all(model, texts):
    known = set(model.tokenizers_["tokenizer"].tokens)
    return {word for text in texts for word in text.split()} <= known


@pytest.mark.parametrize("count", [10, 20, 401])
def test_cross_validation(count):
    texts, labels = reviews(count)
    model = ss.Classifier(**TINY).fit(texts, labels)
    assert parts(model) == {1, 2, 3, 4}
    assert is_trained_on_all(model, texts)
    judged = [row for row in model.history_ if "valid_accuracy" in row and "fold" not in row]
    assert len(judged) == 1
    assert judged[0]["best"]
    assert judged[0]["valid_accuracy"] * count == pytest.approx(round(judged[0]["valid_accuracy"] * count))


def test_a_tenth_of_more():
    texts, labels = reviews(400)
    sentences, tags = (
        [text.split() for text in texts],
        [[label] * len(text.split()) for text, label in zip(texts, labels, strict=True)],
    )
    model = ss.Tagger(**TINY, wide=False).fit(sentences, tags)
    assert parts(model) == set()
    assert is_trained_on_all(model, texts)  # below REFITTED examples
    assert REFITTED["tag"] > 400
    assert not is_trained_on_all(ss.Tagger(**TINY, wide=False, refit=False).fit(sentences, tags), texts)


def test_how_long_is_chosen_beside_the_wide_part():
    """The evaluation is best at which both together are: not where the network alone would be."""
    texts, labels = reviews(200)
    model = ss.Classifier(**QUICK).fit(texts, labels)
    alone = ss.Classifier(**QUICK, wide=False).fit(texts, labels)
    both, deep = ([row for row in one.history_ if "valid_nats" in row and "fold" not in row] for one in (model, alone))
    assert both[-1]["valid_nats"] < deep[-1]["valid_nats"]


def test_how_long_is_chosen_of_numbers_too():
    """By the squared error of all folds; numbers have no nats, and the first evaluation was always chosen."""
    texts, labels = reviews(40)
    values = [float(label == "good") for label in labels]
    model = ss.Classifier(**QUICK, problem_type="regression", wide=False).fit(texts, values)
    errors = {}
    for row in model.history_:
        if "fold" in row:
            errors[row["updates"]] = errors.get(row["updates"], 0) + row["valid_rmse"] ** 2
    best = min(errors, key=errors.__getitem__)
    assert best > min(errors)
    assert model.history_[-1]["updates"] == best


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_all_of_a_sorted_file_judges(task, monkeypatch):
    """The shares of network and wide part are chosen by examples of every place, if there are too many."""
    texts, labels = reviews(100)
    order = sorted(range(100), key=lambda n: labels[n])
    if task == "classify":
        monkeypatch.setattr("stepscan.estimators.classifier._MAX_HELD_OUT", 10)
        model, sampled = ss.Classifier(**TINY), ss.Classifier._sampled
        model.fit(texts, labels)
        result = sampled(model, [(texts[n], labels[n]) for n in order])
        answers = [label for _, label in result]
    else:
        monkeypatch.setattr("stepscan.estimators.tagger._MAX_HELD_OUT_SCORES", 100)
        sentences, tags = [text.split() for text in texts], [[label] * 5 for label in labels]
        model = ss.Tagger(**TINY).fit(sentences, tags)
        result = model._sampled([(sentences[n], tags[n]) for n in order])
        answers = [tags[0] for _, tags in result]
    assert len(result) == 10
    assert answers.count("bad") == 5


@pytest.mark.parametrize("how", ["refit", "validation"])
def test_one_part_if_it_is_asked_for(how):
    texts, labels = reviews(40)
    options = {"refit": False} if how == "refit" else {}
    validation = (texts[30:], labels[30:]) if how == "validation" else None
    arguments = (texts[:30], labels[:30]) if validation else (texts, labels)
    model = ss.Classifier(**TINY, **options).fit(*arguments, validation=validation)
    assert parts(model) == set()
    assert not is_trained_on_all(model, texts)


@pytest.mark.parametrize("count", [4, 5, 6])
def test_a_handful(count):
    """Too few for five parts that have every class: some is held out all the same."""
    texts, labels = reviews(count)
    model = ss.Classifier(**TINY).fit(texts, labels)
    assert set(model.predict(texts)) <= {"good", "bad"}
    assert np.isfinite(model.predict_proba(texts)).all()
    assert is_trained_on_all(model, texts)


def test_sorted_by_class():
    """Each part has every class: the file's order is nothing to a model."""
    texts, labels = reviews(100)
    order = sorted(range(100), key=lambda n: labels[n])
    texts, labels = [texts[n] for n in order], [labels[n] for n in order]
    model = ss.Classifier(**QUICK).fit(texts, labels)
    last = [row for row in model.history_ if "valid_accuracy" in row][-1]
    assert last["valid_accuracy"] >= 0.97
    assert model.yardstick_["scores"]["accuracy"] == pytest.approx(0.5, abs=0.02)
    assert model.score(*reviews(160)) >= 0.97


def test_imbalanced():
    """95 to 5: each part has a share of the rare class, which is learned."""
    texts, labels = reviews(100, rare=20)
    assert labels.count("bad") == 5
    model = ss.Classifier(**QUICK).fit(texts, labels)
    last = [row for row in model.history_ if "valid_macro_f1" in row][-1]
    assert last["valid_accuracy"] > 0.95
    assert last["valid_macro_f1"] > 0.7 > 0.49  # that of always "good"
    predictions = model.predict(["a dull film x", "a lovely film x"])
    assert predictions.tolist() == ["bad", "good"]


def test_series_sorted_by_class():
    random_ = np.random.default_rng(0)
    X = [np.sin(np.arange(30) * speed + random_.uniform(0, 6)) for speed in [0.3] * 25 + [0.6] * 25]
    y = ["slow"] * 25 + ["fast"] * 25
    model = ss.Classifier(**QUICK).fit(X, y)
    assert parts(model) == {1, 2, 3, 4}
    test = [np.sin(np.arange(30) * speed + random_.uniform(0, 6)) for speed in [0.3, 0.6] * 20]
    assert model.score(test, ["slow", "fast"] * 20) >= 0.95


def test_gathered_gradients_in_folds():
    """How long to train is counted in updates, not in batches."""
    texts, labels = reviews(40)
    model = ss.Classifier(**{**TINY, "epochs": 2}, gradient_accumulation_steps=2, wide=False).fit(texts, labels)
    assert [row["updates"] for row in model.history_ if row.get("fold") == 1] == [2, 4]
    kept = model.history_[-1]
    assert kept["updates"] in (2, 4)
    assert kept["step"] == pytest.approx(2 * kept["updates"], abs=1)  # five batches a pass, of which one is alone
