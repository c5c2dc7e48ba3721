"""Series of numbers in place of texts."""

from __future__ import annotations

import numpy as np
import pytest

import stepscan as ss
from stepscan.data.series.checks import are_numbers, checked_series

SMALL = {"hidden_size": 8, "embedding_size": 4, "batch_size": 8, "learning_rate": 0.02, "dropout": 0.0}


def rising_or_falling(count: int = 60, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    draw = np.random.default_rng(seed)
    labels = [["fall", "rise"][i % 2] for i in range(count)]
    slopes = [1 if label == "rise" else -1 for label in labels]
    series = [
        np.stack([slope * np.arange(t) + draw.normal(0, 0.2, t), draw.normal(size=t)], axis=1)
        for slope, t in zip(slopes, draw.integers(3, 9, count), strict=True)
    ]
    return series, labels


def signs(count: int = 40, seed: int = 0) -> tuple[list[np.ndarray], list[list[str]]]:
    """A tag for each step: the sign of the step before."""
    draw = np.random.default_rng(seed)
    series = [draw.normal(size=draw.integers(2, 8)) for _ in range(count)]
    return series, [["-" if x < 0 else "+" for x in [0, *one[:-1]]] for one in series]


@pytest.fixture(scope="module")
def classifier() -> ss.Classifier:
    return ss.Classifier(epochs=8, **SMALL).fit(*rising_or_falling())


@pytest.fixture(scope="module")
def tagger() -> ss.Tagger:
    return ss.Tagger(epochs=30, patience=30, **SMALL).fit(*signs())


def test_classifies(classifier):
    X, y = rising_or_falling(seed=1)
    assert classifier.score(X, y) == 1
    assert classifier.metrics(X, y) == {"accuracy": 1.0, "macro_f1": 1.0, "series": 60}
    assert classifier.predict_proba(X).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert classifier.transform(X).shape == (60, 16)


def test_alone_as_in_a_batch(classifier):
    X, _ = rising_or_falling(seed=1)
    alone = np.concatenate([classifier.predict_proba([one]) for one in X])
    assert classifier.predict_proba(X) == pytest.approx(alone, abs=1e-5)


def test_tags(tagger):
    X, y = signs(seed=1)
    assert tagger.score(X, y) > 0.9
    assert tagger.metrics(X, y)["tokens"] == sum(map(len, X))
    assert [len(tags) for tags in tagger.predict(X)] == list(map(len, X))


def test_save_and_load(classifier, tagger, tmp_path):
    for name, model, X in (("c", classifier, rising_or_falling()[0]), ("t", tagger, signs()[0])):
        model.save(tmp_path / name)
        again = ss.load(tmp_path / name)
        assert not (tmp_path / name / "tokenizer.json").exists()
        assert list(again.predict(X)) == list(model.predict(X))
        assert np.array_equal(np.concatenate(again.predict_proba(X)), np.concatenate(model.predict_proba(X)))


@pytest.mark.parametrize("scale", [2.0**20, 2.0**-20])
def test_scaling_the_data_changes_nothing(scale):
    X, y = rising_or_falling(20)
    plain = ss.Classifier(epochs=2, **SMALL).fit(X, y).predict_proba(X)
    scaled = [one * scale for one in X]  # by a power of two, so that nothing is rounded
    assert np.array_equal(ss.Classifier(epochs=2, **SMALL).fit(scaled, y).predict_proba(scaled), plain)


def test_one_array_is_many_series():
    X = np.random.default_rng(0).normal(size=(20, 5))
    y = (X[:, -1] > 0).astype(int)
    flat = ss.Classifier(epochs=1, **SMALL).fit(X, y).predict_proba(X)
    deep = ss.Classifier(epochs=1, **SMALL).fit(X[:, :, None], y).predict_proba(list(X))
    listed = ss.Classifier(epochs=1, **SMALL).fit(X.tolist(), y).predict_proba(X.tolist())
    assert np.array_equal(flat, deep)
    assert np.array_equal(flat, listed)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0, 2], "a"], "series 2: expected a series of numbers, got 'a'; texts and numbers cannot be mixed"),
        (["a", [1.0, 2]], r"text 2: expected a string, got \[1.0, 2\]"),
        (
            [[1.0, np.nan], [1, 2]],
            "series 1: expected finite numbers, got NaN at step 2, dimension 1; fill the gaps first",
        ),
        ([[[1.0], [2]], [[1, 2], [3, 4]]], "series 2: expected 1 dimensions per step, as series 1 has, got 2"),
        ([[1.0], [[1, 2], [3]]], "series 2: expected steps of equally many numbers, got ragged ones"),
        (np.zeros((2, 3, 4, 5)), r"series 1: expected the shape \[T\] or \[T, D\] of T steps, got \(3, 4, 5\)"),
    ],
)
def test_refused(X, message):
    with pytest.raises(ss.SettingsError, match=message):
        ss.Classifier(**SMALL).fit(X, ["a", "b"])


def test_refused_of_a_model(classifier, tagger):
    with pytest.raises(ss.SettingsError, match="series 1: expected 2 dimensions per step, as the model has, got 1"):
        classifier.predict([[1.0, 2.0]])
    with pytest.raises(ss.SettingsError, match="series 1: expected a series of numbers, got 'a film'"):
        classifier.predict(["a film"])
    with pytest.raises(ss.SettingsError, match="series 1: expected a series of numbers"):
        tagger.predict([["a", "film"]])
    with pytest.raises(ss.SettingsError, match="sentence 1: expected a tag for each of 2 tokens, got 1"):
        tagger.score([[0.5, 1.0]], [["+"]])


def test_validation_of_another_kind():
    X, y = rising_or_falling(20)
    with pytest.raises(ss.SettingsError, match="series 1: expected a series of numbers, got 'a'"):
        ss.Classifier(**SMALL).fit(X, y, validation=(["a"], ["rise"]))


def test_noise_is_not_for_texts():
    with pytest.raises(ss.SettingsError, match=r"input_noise: expected 0 for texts, got 0.1"):
        ss.Classifier(input_noise=0.1, **SMALL).fit(["a", "b", "c"], ["x", "y", "x"])
    with pytest.raises(ss.SettingsError, match=r"input_noise: expected 0 for sentences, got 0.1"):
        ss.Tagger(input_noise=0.1, **SMALL).fit([["a"], ["b"]] * 2, [["x"], ["y"]] * 2)
    with pytest.raises(ss.SettingsError, match="input_noise: expected a standard deviation, finite and at least 0"):
        ss.Classifier(input_noise=-1).fit(["a", "b"], ["x", "y"])


def test_what_counts_as_numbers():
    assert are_numbers([[], [1, 2]])
    assert are_numbers(np.zeros((2, 3)))
    assert not are_numbers([["a", "b"]])
    assert not are_numbers(["ab"])
    assert not are_numbers([])
    assert [one.tolist() for one in checked_series([[1, 2], [3]])] == [[[1], [2]], [[3]]]
