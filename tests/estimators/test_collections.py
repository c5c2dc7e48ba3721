"""Whatever holds the examples: a list, a generator, an array, a column of a table; each is read once."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from toy_tasks import FAST, equal_to_the_bit, weights_of

import stepscan as ss

TINY = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "batch_size": 8, **FAST}
TEXTS, LABELS = ["a good film", "a bad film"] * 10, ["p", "n"] * 10
SERIES = [np.full((4, 2), float(number)) for number in range(20)]
CONTAINERS = {
    "generator": lambda values: (value for value in values),
    "iterator": iter,
    "tuple": tuple,
    "array": np.array,
    "column": pandas.Series,
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("X", [TEXTS, SERIES], ids=["texts", "series"])
def test_of_a_classifier(container, X):
    held = CONTAINERS[container]
    expected = ss.Classifier(**TINY).fit(X, LABELS, validation=(X, LABELS))
    model = ss.Classifier(**TINY).fit(held(X), held(LABELS), validation=(held(X), held(LABELS)))
    assert equal_to_the_bit(weights_of(model), weights_of(expected))
    assert model.predict(held(X)).tolist() == expected.predict(X).tolist()
    assert model.score(held(X), held(LABELS)) == expected.score(X, LABELS)
    assert model.metrics(held(X), held(LABELS)) == expected.metrics(X, LABELS)
    assert model.log_probabilities(held(X), held(LABELS)) == expected.log_probabilities(X, LABELS)


@pytest.mark.parametrize("container", CONTAINERS)
def test_of_a_translator(container):
    held = CONTAINERS[container]
    sources, targets = ["abc", "bca"] * 10, ["cba", "acb"] * 10
    expected = ss.Translator(tokenizer="character", **TINY).fit(sources, targets, validation=(sources, targets))
    model = ss.Translator(tokenizer="character", **TINY)
    model.fit(held(sources), held(targets), validation=(held(sources), held(targets)))
    assert equal_to_the_bit(weights_of(model), weights_of(expected))
    assert model.metrics(held(sources), held(targets)) == expected.metrics(sources, targets)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ({"a film": 1}, r"expected a list, got {'a film': 1} \(dict\)"),
        ({"a film", "b"}, r"expected a list, got {.*} \(set\)"),
        (None, r"expected a list, got None"),
        (3, r"expected a list, got 3 \(int\)"),
        (b"abc", r"expected a list, got b'abc' \(bytes\)"),
        ("a film", "expected a list, got one text, 'a film'; put it into a list"),
    ],
)
def test_what_holds_no_examples(X, message):
    model = ss.Classifier(**TINY).fit(TEXTS, LABELS)
    for ask in (model.predict, lambda X: model.score(X, LABELS), lambda X: ss.Classifier(**TINY).fit(X, LABELS)):
        with pytest.raises(ss.SettingsError, match=message):
            ask(X)


@pytest.mark.parametrize("validation", [(TEXTS,), (TEXTS, LABELS, LABELS)])
def test_validation_is_two_lists(validation):
    message = rf"validation: expected two lists, of examples and of targets, got {len(validation)}"
    for model in (ss.Classifier(**TINY), ss.Translator(tokenizer="character", **TINY)):
        with pytest.raises(ss.SettingsError, match=message):
            model.fit(TEXTS, LABELS, validation=validation)


def test_as_many_answers_as_examples():
    model = ss.Classifier(**TINY).fit(TEXTS, LABELS)
    with pytest.raises(ss.SettingsError, match="expected as many examples as targets, got 20 and 19"):
        model.log_probabilities(TEXTS, LABELS[1:])
