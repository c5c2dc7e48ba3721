"""A tagger whose tags mark spans: judged by F1; with a CRF, no tag stands where IOB2 forbids it."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from toy_tasks import FAST, equal_to_the_bit, weights_of

import stepscan as ss
from stepscan.runtime.spans import first_break, span_scores

TINY = {"cell": "gru", "hidden_size": 8, "embedding_size": 8, "character_size": 0, "epochs": 1, "batch_size": 8, **FAST}


def opened(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """A span goes from `(` to before `)`; its type is the next word after `(`, all other words mean nothing."""
    draw, sentences, tags = random.Random(seed), [], []
    for _ in range(count):
        kind, inner = draw.choice("pq"), draw.randint(0, 2)
        before, after = (draw.choices("xyz", k=draw.randint(0, 2)) for _ in range(2))
        sentences.append([*before, "(", kind, *draw.choices("xyz", k=inner), ")", *after])
        tags.append([*"O" * len(before), f"B-{kind}", *[f"I-{kind}"] * (inner + 1), "O", *"O" * len(after)])
    return sentences, tags


SENTENCES, TAGS = opened(40, 3)


@pytest.fixture(scope="module")
def tagger() -> ss.Tagger:
    return ss.Tagger(**{**TINY, "hidden_size": 16, "epochs": 8}, crf=True).fit(*opened(200, 1))


def test_learns_spans(tagger):
    sentences, tags = opened(100, 2)
    assert type(tagger.model_) is ss.CRFTransducer
    found, figures = tagger.predict(sentences), tagger.metrics(sentences, tags)
    assert figures["f1"] == tagger.score(sentences, tags) == span_scores(found, tags)["f1"] > 0.95
    assert list(figures["types"]) == ["p", "q"]
    right = [f == t for pair in zip(found, tags, strict=True) for f, t in zip(*pair, strict=True)]
    assert (figures["accuracy"], figures["tokens"], figures["spans"]) == (np.mean(right), len(right), 100)


def test_the_best_weights_are_those_of_the_best_f1(tagger):
    scores = [row["valid_f1"] for row in tagger.history_]
    assert [name for name in tagger.history_[0] if name.startswith("valid_")] == ["valid_f1", "valid_accuracy"]
    assert [row["valid_f1"] for row in tagger.history_ if row["best"]][-1] == max(scores)


def test_probabilities_are_the_marginals(tagger):
    """Each step adds up to 1; no sentence begins with an I-; after a certain O neither."""
    sentences, _ = opened(20, 4)
    inside = [number for number, tag in enumerate(tagger.classes_) if tag.startswith("I-")]
    for sentence, row in zip(sentences, tagger.predict_proba(sentences), strict=True):
        assert row.shape == (len(sentence), 5)
        np.testing.assert_allclose(row.sum(axis=1), 1, rtol=1e-5)
        assert (row[0, inside] == 0).all()
        np.testing.assert_allclose(tagger.predict_proba([sentence])[0], row, atol=1e-5)


def test_what_an_untrained_crf_says_is_iob2():
    """Without it, weights that have hardly been trained break IOB2 somewhere in as many sentences."""
    draw = random.Random(0)
    sentences = [draw.choices("()pqxyz", k=12) for _ in range(60)]
    model = ss.Tagger(**TINY, crf=True).fit(SENTENCES, TAGS)
    loose = ss.Tagger(**TINY).fit(SENTENCES, TAGS)
    assert first_break(model.predict(sentences)) is None
    assert first_break(loose.predict(sentences)) is not None


def test_saved_and_loaded(tagger, tmp_path):
    sentences, _ = opened(30, 7)
    tagger.save(tmp_path / "model")
    again = ss.load(tmp_path / "model")
    assert (again.crf, type(again.model_)) == (True, ss.CRFTransducer)
    assert again.predict(sentences) == tagger.predict(sentences)
    for left, right in zip(again.predict_proba(sentences), tagger.predict_proba(sentences), strict=True):
        assert (left == right).all()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| valid_f1 |" in card
    assert "| crf | True |" in card


def test_a_folder_from_before_there_was_a_crf(tmp_path):
    model = ss.Tagger(**TINY).fit(SENTENCES, TAGS)
    model.save(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    del config["settings"]["crf"]
    file.write_text(json.dumps(config))
    again = ss.load(tmp_path / "model")
    assert again.crf is False
    assert equal_to_the_bit(weights_of(again), weights_of(model))
    assert again.predict(SENTENCES) == model.predict(SENTENCES)


def test_tags_that_are_not_iob2():
    """CoNLL-2003 as published begins spans with I-: learned as it is, with a warning that names the first."""
    tags = [[tag.replace("B-", "I-") for tag in row] for row in TAGS]
    tags[1][0:1] = ["B-p"]
    with pytest.warns(UserWarning, match=r"not IOB2: in sentence 1, token \d is I-[pq], which continues nothing"):
        model = ss.Tagger(**TINY, crf=True).fit(SENTENCES, tags)
    assert model.model_.crf.allowed.all()
    assert model.model_.crf.may_start.all()


def test_other_tags_have_a_crf_without_constraints():
    tags = [[token.upper() for token in sentence] for sentence in SENTENCES]
    model = ss.Tagger(**{**TINY, "epochs": 4}, crf=True).fit(SENTENCES, tags)
    assert model.model_.crf.allowed.all()
    assert list(model.metrics(SENTENCES, tags)) == ["accuracy", "tokens", "sentences"]
    assert model.predict([["(", "p", ")"], []]) == [["(", "P", ")"], []]


def test_a_validation_tag_that_marks_nothing_is_an_error_before_training():
    with pytest.raises(ss.SettingsError, match="sentence 1, token 2: expected O, B-… or I-…, got 'NOUN'"):
        ss.Tagger(**TINY).fit(SENTENCES, TAGS, validation=([["x", "y"]], [["O", "NOUN"]]))


def test_series_have_it_too():
    draw = np.random.default_rng(0)
    series = [draw.normal(size=(6, 1)) for _ in range(40)]
    tags = [["up" if step > 0 else "down" for step in one[:, 0]] for one in series]
    settings = {"cell": "gru", "hidden_size": 8, "embedding_size": 4, "batch_size": 8, "epochs": 5, **FAST}
    model = ss.Tagger(**settings, crf=True).fit(series, tags)
    assert model.predict([[3.0, -3.0]]) == [["up", "down"]]


def test_wrong_value():
    with pytest.raises(ss.SettingsError, match="crf: input should be a valid boolean, got 'yes'"):
        ss.Tagger(crf="yes").fit(SENTENCES, TAGS)
