"""Saliency of a classifier that adds up its words with known weights, where every answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan.inspection import attention_map, saliency
from stepscan.patterns.embedding import Embedding
from stepscan.patterns.encoder import Encoder

WORTH = {"good": 2.0, "bad": -3.0, "film": 0.25, "very": 0.5}
TEXTS = ["good film", "bad film", "very good film", "very bad"]
LABELS = ["up", "down", "up", "down"]
TINY = {
    "hidden_size": 4,
    "embedding_size": 2,
    "epochs": 1,
    "batch_size": 2,
    "layers": 1,
    "wide": False,
    "verbose": False,
}


class Adding(ss.Recurrence):
    """h_t = h_{t−1} + x_t: with `last` a bag of words."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.input_size = self.output_size = size

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return torch.zeros(batch_size, self.output_size, device=device, dtype=dtype)

    def step(self, x, state):
        return state + x, state + x


@pytest.fixture(scope="module")
def trained() -> ss.Classifier:
    return ss.Classifier(cell="gru", **TINY).fit(TEXTS, LABELS, (TEXTS, LABELS))


@pytest.fixture
def bag(trained):
    """`up` scores Σ worth, `down` −½ Σ worth: vectors (worth, 1), of which the head reads the first number."""

    def make(pooling: str = "last") -> ss.Classifier:
        tokenizer = trained.tokenizers_["tokenizer"]
        embedding = Embedding(len(tokenizer), 2)
        model = Encoder(embedding, Adding(2) if pooling == "last" else ss.Dropout(2, 0.5), 2, pooling)
        with torch.no_grad():
            for id, token in enumerate(tokenizer.tokens):
                embedding.weight[id] = torch.tensor([WORTH.get(token, 0.0), 1.0])
            model.head.weight.copy_(torch.tensor([[-0.5, 0.0], [1.0, 0.0]]))
            model.head.bias.zero_()
        found = ss.Classifier(cell="gru", **TINY)
        found.tokenizers_, found.labels_, found.model_ = trained.tokenizers_, ["down", "up"], model
        found.history_ = trained.history_
        return found

    return make


def test_of_a_bag_of_words_both_are_the_words_worth(bag):
    found = saliency(bag(), "very good film bad")
    expected = [WORTH[word] for word in ("very", "good", "film", "bad")]
    assert found.tokens == ["very", "good", "film", "bad"]
    assert found.label == "down"  # the sum is −0.25
    assert found.score == pytest.approx(0.125)
    np.testing.assert_allclose(found.gradient_times_input, -0.5 * np.array(expected), atol=1e-6)
    np.testing.assert_allclose(found.leave_one_out, -0.5 * np.array(expected), atol=1e-6)
    up = saliency(bag(), "very good film bad", label="up")
    assert (up.label, up.score) == ("up", pytest.approx(-0.25))
    np.testing.assert_allclose(up.gradient_times_input, expected, atol=1e-6)
    np.testing.assert_allclose(up.leave_one_out, expected, atol=1e-6)


def test_of_a_mean_of_words(bag):
    """Gradient × input is a T-th of the worth; without a word the mean is of those that are left."""
    found = saliency(bag("mean"), "good good bad", label="up")
    assert found.score == pytest.approx(1 / 3)
    np.testing.assert_allclose(found.gradient_times_input, [2 / 3, 2 / 3, -1], atol=1e-6)
    np.testing.assert_allclose(found.leave_one_out, [1 / 3 + 0.5, 1 / 3 + 0.5, 1 / 3 - 2], atol=1e-6)


def test_of_the_highest_word(bag):
    """`max` rests on one word: the others have no gradient, and leaving it out falls back on the next."""
    found = saliency(bag("max"), "good film bad", label="up")
    np.testing.assert_allclose(found.gradient_times_input, [2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.leave_one_out, [1.75, 0, 0], atol=1e-6)


def test_of_a_trained_model_against_its_own_scores(trained):
    trained.model_.train()
    found = saliency(trained, "very good film")
    assert trained.model_.training
    trained.model_.eval()
    assert found.label == trained.predict(["very good film"])[0]
    column = list(trained.classes_).index(found.label)
    scores = trained._scores(["very good film", "good film", "very film", "very good"])[:, column]
    assert found.score == pytest.approx(float(scores[0]), abs=1e-5)
    np.testing.assert_allclose(found.leave_one_out, scores[0] - scores[1:], atol=1e-5)
    with torch.no_grad():  # how the score moves when all vectors grow by a little is the sum of gradient × input
        moved = []
        for factor in (1.001, 0.999):
            trained.model_.embedding.weight.mul_(factor)
            moved.append(saliency(trained, "very good film", label=found.label).score)
            trained.model_.embedding.weight.div_(factor)
    assert found.gradient_times_input.sum() == pytest.approx((moved[0] - moved[1]) / 0.002, abs=1e-3)


def test_a_text_of_one_word_and_of_none(bag):
    found = saliency(bag(), "good", label="up")
    assert (found.gradient_times_input.tolist(), found.leave_one_out.tolist()) == ([2.0], [2.0])
    assert saliency(bag(), "", label="up").tokens == []


def test_errors(bag, trained):
    with pytest.raises(ss.SettingsError, match=r"expected a label of this classifier, got 'upp'.*up"):
        saliency(trained, "good", label="upp")
    with pytest.raises(ss.NotFittedError):
        saliency(ss.Classifier(), "good")
    with pytest.raises(TypeError, match=r"expected a stepscan\.Classifier, got Tagger"):
        saliency(ss.Tagger(), "good")
    with pytest.raises(ss.SettingsError, match="an ensemble has no layers of its own"):
        saliency(ss.ensemble([trained, trained]), "good")
    numbers = ss.Classifier(cell="gru", **TINY).fit(np.random.default_rng(0).normal(size=(8, 4)), LABELS * 2)
    with pytest.raises(ss.SettingsError, match="this classifier reads series of numbers"):
        saliency(numbers, "good")


def test_attention_is_the_translators_own():
    settings = {"cell": "gru", "hidden_size": 4, "embedding_size": 4, "epochs": 1, "tokenizer": "character"}
    translator = ss.Translator(**settings, attention="additive", verbose=False).fit(["ab", "ba"] * 4, ["b", "a"] * 4)
    found = attention_map(translator, "ab", "ba")
    source, target, weights = translator.attention_weights("ab", "ba")
    assert (found.source, found.target) == (source, target)
    np.testing.assert_array_equal(found.weights, weights)
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-5)
    own = attention_map(translator, "ab")
    assert own.target == translator.attention_weights("ab", translator.predict(["ab"])[0])[1]
    with pytest.raises(TypeError, match=r"expected a stepscan\.Translator, got Tagger"):
        attention_map(ss.Tagger(), "ab")
