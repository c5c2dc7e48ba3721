"""The words that mattered: each effect is the difference that leaving the word out makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.serving.inside import word_effects
from stepscan.serving.inside.word_effects import MOST_WORDS

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"


@pytest.fixture(scope="module")
def model():
    return runtime.load(GOLDEN / "classify")


def log_odds(p):
    return np.log(p) - np.log1p(-p)


def test_an_effect_is_what_leaving_the_word_out_changes(model):
    text = "a good, well-made film"
    found = word_effects(model, text)
    assert [text[word.start : word.end] for word in found.words] == ["a", "good", ",", "well-made", "film"]
    column = [str(label) for label in model.labels_].index(found.label)
    whole = model.predict_proba([text])[0, column]
    assert found.label == str(model.predict([text])[0])
    assert found.answer == whole
    for word in found.words:
        without = model.predict_proba([text[: word.start] + text[word.end :]])[0, column]
        assert word.without == pytest.approx(without)
        assert word.effect == pytest.approx(log_odds(whole) - log_odds(without), abs=1e-5)


def test_the_other_label_has_the_opposite_effects(model):
    one, other = (word_effects(model, "a good film", label=str(label)) for label in model.labels_)
    for first, second in zip(one.words, other.words, strict=True):
        assert first.effect == pytest.approx(-second.effect, abs=1e-4)


def test_a_number_changes_by_the_effect(tmp_path):
    texts, numbers = ["a good film", "a bad film", "good", "bad"] * 4, [1.0, -1.0, 2.0, -2.0] * 4
    trained = ss.Classifier(problem_type="regression", hidden_size=4, epochs=1, verbose=False).fit(texts, numbers)
    trained.save(tmp_path / "model")
    model = runtime.load(tmp_path / "model")
    found = word_effects(model, "a good film")
    assert found.label == ""
    assert found.answer == pytest.approx(model.predict(["a good film"])[0])
    assert found.words[1].without == pytest.approx(model.predict(["a  film"])[0])
    assert found.words[1].effect == pytest.approx(found.answer - found.words[1].without)
    with pytest.raises(ss.SettingsError, match="label: expected none for a model that predicts a number, got 'x'"):
        word_effects(model, "a film", "x")


def test_certain_answers_have_finite_effects():
    class Certain:
        task, tokenizers_, labels_ = "classify", {"tokenizer": None}, ["no", "yes"]

        def predict_proba(self, texts):
            return np.array([[0.0, 1.0] if "good" in text else [1.0, 0.0] for text in texts], np.float32)

    found = word_effects(Certain(), "a good film")
    assert found.words[1].effect == pytest.approx(2 * np.log(1e7), rel=1e-3)
    assert found.words[0].effect == 0


@pytest.mark.parametrize(
    ("folder", "text", "label", "words"),
    [
        ("tag", "a", None, "expected a classifier of texts, got another model"),
        ("classify-series", "a", None, "expected a classifier of texts, got another model"),
        ("classify", "a film", "goood", "label: expected one of the model, got 'goood'"),
        ("classify", "a " * (MOST_WORDS + 1), None, "text: expected at most 200 words for their effects, got 201"),
    ],
)
def test_wrong_use_is_an_error_in_words(folder, text, label, words):
    with pytest.raises(ss.SettingsError, match=words):
        word_effects(runtime.load(GOLDEN / folder), text, label)
