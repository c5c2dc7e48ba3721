"""The penalty of O where tags that mark spans are predicted: its choice, and all that is done with such a model."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.errors import ModelFormatError
from stepscan.estimators import crf_mixture
from stepscan.models.ensemble import ensemble

UNSURE = ("may", "june", "rose")  # of these words, two in five are names


def sentences(count: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    random = np.random.default_rng(seed)
    words, tags = [], []
    for _ in range(count):
        own = random.choice([*UNSURE, "the", "of", "a", "to"], 6).tolist()
        words.append(own)
        tags.append(["B-PER" if word in UNSURE and random.random() < 0.4 else "O" for word in own])
    return words, tags


@pytest.fixture(scope="module", params=[True, False], ids=["wide", "network"])
def model(request) -> ss.Tagger:
    return ss.Tagger(hidden_size=8, max_updates=60, wide=request.param).fit(*sentences(200))


def test_what_is_more_likely_than_half_the_best_f1_is_predicted(model):
    """A word that is a name with a probability of 0.4 is best predicted to be one (Lipton et al. 2014)."""
    words, tags = sentences(200, seed=1)
    assert model.outside_penalty_ > 0
    figures = model.metrics(words, tags)
    assert figures["recall"] > 0.9
    assert figures["f1"] > 0.5
    model_without = pickle.loads(pickle.dumps(model))
    model_without.outside_penalty_ = 0.0
    assert model_without.score(words, tags) < 0.3
    for found, expected in zip(model.predict_proba(words), model_without.predict_proba(words), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert model.log_probabilities(words, tags) == model_without.log_probabilities(words, tags)


def test_it_is_saved_and_loaded(model, tmp_path):
    words, _ = sentences(20, seed=2)
    model.save(tmp_path / "model")
    assert f"the score of O is lowered by {model.outside_penalty_:g}" in (tmp_path / "model" / "README.md").read_text()
    loaded, light = ss.load(tmp_path / "model"), runtime.load(tmp_path / "model")
    for other in (loaded, light, pickle.loads(pickle.dumps(light))):
        assert other.outside_penalty_ == model.outside_penalty_
        assert other.predict(words) == model.predict(words)
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    for value, shown in ((-1, "-1"), ("1", "'1'"), (True, "True"), (1e9, "1000000000.0")):
        path.write_text(json.dumps({**config, "outside_penalty": value}))
        with pytest.raises(
            ModelFormatError, match=f"outside_penalty: expected a number from 0 to 1,000,000, got {shown}"
        ):
            runtime.load(tmp_path / "model")
    path.write_text(json.dumps({**config, "scheme": None}))
    with pytest.raises(ModelFormatError, match="outside_penalty: expected a number from 0 to 0 only, without a scheme"):
        runtime.load(tmp_path / "model")
    del config["outside_penalty"]
    path.write_text(json.dumps(config))
    old = runtime.load(tmp_path / "model")
    assert old.outside_penalty_ == 0
    assert old.fingerprint != light.fingerprint


def test_ensembles_and_averages_have_the_mean(model):
    other = pickle.loads(pickle.dumps(model))
    other.outside_penalty_ = 0.0
    for joined in (ensemble([model, other]), ss.average([model, other])):
        assert joined.outside_penalty_ == model.outside_penalty_ / 2


def test_a_session_says_what_predict_says(tmp_path):
    model = ss.Tagger(hidden_size=8, max_updates=60, wide=False, bidirectional=False).fit(*sentences(200))
    assert model.outside_penalty_ > 0
    words = ["may", "the", "june"]
    model.save(tmp_path / "model")
    expected = ["B-PER", "O", "B-PER"]
    assert runtime.load(tmp_path / "model").session().push(words) == model.predict([words])[0] == expected


def test_tags_that_mark_no_spans_have_none():
    words, tags = sentences(100)
    names = [["NOUN" if tag == "O" else "NAME" for tag in sentence] for sentence in tags]
    model = ss.Tagger(hidden_size=8, max_updates=20).fit(words, names)
    assert model.outside_penalty_ == 0
    model.fit(words, tags)
    assert model.outside_penalty_ > 0
    model.fit(words, names)
    assert model.outside_penalty_ == 0


def test_the_choice_is_not_that_of_one_lucky_penalty():
    part = crf_mixture.HeldOutScores.from_network([[0, 1]], [[[0.0, 1.0]] * 2], None, 2)
    figures = {0.25: 0.6, 1.5: 0.5, 2.0: 0.55, 2.5: 0.5}
    found = crf_mixture.best_for_spans([part], lambda shares, penalty: figures.get(penalty, 0.0), wide=False)
    assert found == ((1.0, 0.0), 2.0)
    assert crf_mixture.best_for_spans([], lambda shares, penalty: 1.0, wide=True) == ((1.0, 0.0), 0.0)
