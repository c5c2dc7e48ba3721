from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from toy_tasks import NETWORK, equal_to_the_bit, history_is_whole, ordered, weights_of

import stepscan as ss
from stepscan.data.batching import pad

TINY = {"hidden_size": 4, "embedding_size": 4, "epochs": 1, "batch_size": 8, **NETWORK}
TEXTS, LABELS = ordered(40, 3)


def test_learns_the_order_of_words(classifier):
    texts, labels = ordered(200, 2)
    assert classifier.score(texts, labels) >= 0.99
    assert classifier.metrics(texts, labels)["macro_f1"] >= 0.99
    assert classifier.history_[-1]["valid_accuracy"] >= 0.97
    assert classifier.classes_.tolist() == ["first a", "first b"]


def test_what_it_says_agrees(classifier):
    texts, labels = ordered(50, 4)
    probabilities = classifier.predict_proba(texts)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (classifier.classes_[probabilities.argmax(axis=1)] == classifier.predict(texts)).all()
    labels[0] = "first a" if labels[0] == "first b" else "first b"
    right = np.mean(classifier.predict(texts) == np.array(labels))
    assert classifier.score(texts, labels) == right < 1
    assert classifier.metrics(texts, labels)["accuracy"] == right
    weighted = classifier.score(texts, labels, sample_weight=[0.0] + [1.0] * 49)
    assert weighted == np.mean((classifier.predict(texts) == np.array(labels))[1:])


def test_transform_is_what_the_decision_is_made_from(classifier):
    texts, _ = ordered(30, 5)
    features = torch.from_numpy(classifier.transform(texts))
    assert features.shape == (30, 16)
    by_hand = classifier.model_.head(features).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(by_hand, classifier.predict_proba(texts), atol=1e-6)


def test_transform_by_hand(classifier):
    """The feature vector is h after the last word: the cell folded over the words' vectors."""
    ids = classifier.tokenizers_["tokenizer"].encode("x b z a")
    model = classifier.model_
    state = model.layer.initial_state(1)
    with torch.no_grad():
        for i in ids:
            y, state = model.layer.step(model.embedding.weight[[i]], state)
    np.testing.assert_allclose(classifier.transform(["x b z a"]), y.numpy(), atol=1e-6)


def test_a_text_alone_is_a_text_in_a_batch(classifier):
    texts, _ = ordered(150, 6)
    together = classifier.predict_proba(texts)
    alone = np.concatenate([classifier.predict_proba([text]) for text in texts[:20]])
    np.testing.assert_allclose(together[:20], alone, atol=1e-5)
    np.testing.assert_allclose(classifier.predict_proba(texts[::-1])[::-1], together, atol=1e-5)


def test_saved_and_loaded(classifier, tmp_path):
    texts, _ = ordered(50, 7)
    classifier.save(tmp_path / "model")
    again = ss.load(tmp_path / "model")
    assert type(again) is ss.Classifier
    assert again.get_params() == {**classifier.get_params(), "tokenizer": "word"}  # as it was chosen
    assert (again.labels_, again.history_) == (classifier.labels_, classifier.history_)
    assert (again.predict_proba(texts) == classifier.predict_proba(texts)).all()
    assert (again.transform(texts) == classifier.transform(texts)).all()


def test_history(classifier):
    assert history_is_whole(classifier.history_, 8, ["valid_accuracy", "valid_macro_f1", "valid_nats"])
    assert [row["step"] for row in classifier.history_] == [23 * epoch for epoch in range(1, 9)]  # 360 texts by 16


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_texts_without_a_word(pooling):
    """A text of length 0 is like any other, in training and after, alone or not."""
    model = ss.Classifier(pooling=pooling, **TINY).fit(["", *TEXTS, ""], ["first a", *LABELS, "first b"])
    alone, among = model.predict_proba([""]), model.predict_proba(["a b", "", "b a x y"])
    np.testing.assert_allclose(alone[0], among[1], atol=1e-6)
    assert np.isfinite(among).all()
    if pooling != "last":
        assert (model.transform([""]) == 0).all()
    assert model.predict([]).shape == (0,)


def test_one_text_is_not_a_list(classifier):
    for ask in (classifier.predict, classifier.predict_proba, classifier.transform):
        with pytest.raises(ss.SettingsError, match="expected a list, got one text, 'a b'; put it into a list"):
            ask("a b")
    with pytest.raises(ss.SettingsError, match="expected a list"):
        ss.Classifier().fit("a b", ["first a"])


def test_not_fitted(tmp_path):
    model = ss.Classifier()
    for ask in (model.predict, model.predict_proba, model.transform):
        with pytest.raises(ss.NotFittedError, match="this Classifier is not trained yet"):
            ask(["a"])
    with pytest.raises(ss.NotFittedError):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_tenth_is_held_out():
    """The vocabulary shows which texts were learned from."""
    texts = [f"w{number} {text}" for number, text in enumerate(TEXTS)]
    held = ss.Classifier(**TINY).fit(texts, LABELS)
    known = {f"w{n}" for n in range(40)} & set(held.tokenizers_["tokenizer"].tokens)
    learned = [f"w{n}" in known for n in range(40)]
    assert sum(learned) == 36
    train_data, validation_data = (
        (
            [t for t, is_train in zip(texts, learned, strict=True) if is_train == side],
            [y for y, is_train in zip(LABELS, learned, strict=True) if is_train == side],
        )
        for side in (True, False)
    )
    assert set(validation_data[1]) == set(LABELS)
    model = ss.Classifier(**TINY).fit(*train_data, validation=validation_data)
    assert equal_to_the_bit(weights_of(held), weights_of(model))
    assert held.history_[0]["valid_accuracy"] == model.history_[0]["valid_accuracy"] == held.score(*validation_data)


def test_wrong_examples():
    with pytest.raises(
        ss.SettingsError, match="validation data: expected classes of the training data, got others: 'new'"
    ):
        ss.Classifier(**TINY).fit(TEXTS, LABELS, validation=(["a"], ["new"]))
    with pytest.raises(ss.SettingsError, match="at least two classes, got only 'one'"):
        ss.Classifier(**TINY).fit(TEXTS, ["one"] * 40)
    with pytest.raises(ss.SettingsError, match="expected as many examples as targets, got 40 and 39"):
        ss.Classifier(**TINY).fit(TEXTS, LABELS[1:])
    with pytest.raises(ss.SettingsError, match="examples: expected at least one, got none"):
        ss.Classifier(**TINY).fit([], [])


def test_seeds():
    one, same, other = (ss.Classifier(**TINY, seed=seed).fit(TEXTS, LABELS) for seed in (1, 1, 2))
    assert equal_to_the_bit(weights_of(one), weights_of(same))
    assert not equal_to_the_bit(weights_of(one), weights_of(other))


def test_the_callers_random_numbers_stay():
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(5)
    np.random.seed(5)
    ss.Classifier(**TINY).fit(TEXTS, LABELS)
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.rand(3) == expected[1]).all()


def test_as_scikit_learn_expects():
    model = ss.Classifier(**TINY, cell="gru")
    copy = clone(model).set_params(hidden_size=5)
    assert (copy.get_params()["hidden_size"], model.hidden_size, copy.cell) == (5, 4, "gru")
    with pytest.raises(ValueError, match="Invalid parameter 'hiden_size'"):
        model.set_params(hiden_size=3)
    search = GridSearchCV(model, {"cell": ["elman", "gru"]}, cv=2).fit(TEXTS, LABELS)
    assert search.best_params_["cell"] in ("elman", "gru")
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    scaled = make_pipeline(search.best_estimator_, StandardScaler()).fit_transform(TEXTS, LABELS)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)


def test_weights_do_not_depend_on_what_was_fitted_before(classifier):
    model = ss.Classifier(**TINY)
    model.fit(*ordered(60, 9))
    assert equal_to_the_bit(weights_of(model.fit(TEXTS, LABELS)), weights_of(ss.Classifier(**TINY).fit(TEXTS, LABELS)))


def test_the_model_is_a_module(classifier):
    """`model_` is a plain pattern, ready for PyTorch."""
    assert isinstance(classifier.model_, ss.Encoder)
    assert not classifier.model_.training
    ids = classifier.tokenizers_["tokenizer"].encode_batch(["b a", "a"])
    scores = classifier.model_(pad(ids)).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(scores, classifier.predict_proba(["b a", "a"]), atol=1e-6)


def test_labels_stay_what_they_are(tmp_path):
    texts, numbers = ["a b", "b a"] * 12, np.array([0, 1] * 12)
    model = ss.Classifier(hidden_size=np.int64(8), embedding_size=8, dropout=0.0, epochs=20, learning_rate=0.05)
    model.fit(texts, numbers, validation=(texts, numbers))
    assert (model.predict(texts) == numbers).mean() == model.score(texts, numbers) == 1.0
    model.save(tmp_path / "model")
    assert ss.load(tmp_path / "model").predict(["a b"]).tolist() == [0]


@pytest.mark.parametrize(
    ("texts", "labels", "words"),
    [
        (["a", None], ["x", "y"], "text 2: expected a string, got None"),
        (["a", "\ud800"], ["x", "y"], "text 2: expected valid Unicode"),
        (["a", "b"], ["x", 1], "label 2: expected all strings or all whole numbers, got 1"),
        (["a", "b"], [1, float("nan")], "label 2: expected all strings or all whole numbers, got nan"),
        ([], [], "examples: expected at least one, got none"),
    ],
)
def test_what_is_no_text_or_no_label(texts, labels, words):
    with pytest.raises(ss.SettingsError, match=words):
        ss.Classifier().fit(texts, labels)


def test_a_fit_that_fails_leaves_everything_as_it_was():
    texts, labels = ["a b", "b a"] * 12, ["x", "y"] * 12
    fresh = ss.Classifier(learning_rate=1e30, hidden_size=4, embedding_size=4, epochs=3)
    with pytest.raises(ss.StepscanError, match=r"became (nan|inf) at step"):
        fresh.fit(texts, labels)
    with pytest.raises(ss.NotFittedError):
        fresh.predict(texts)
    model = ss.Classifier(hidden_size=4, embedding_size=4, epochs=1).fit(texts, labels)
    before = model.predict_proba(texts)
    with pytest.raises(ss.SettingsError, match="unknown cell"):
        model.set_params(cell="lstmm").fit(["c d e f g", "g f e d c"] * 12, labels)
    np.testing.assert_array_equal(model.predict_proba(texts), before)


def test_imbalanced_classes_are_mentioned(caplog):
    """Accuracy .95 of a model that always says the same."""
    texts, labels = TEXTS + TEXTS[:20], ["often"] * 57 + ["rare"] * 3
    model = ss.Classifier(**TINY).fit(texts, labels)
    message = (
        "imbalanced: 'often' has 57 examples, 'rare' 3; always answering 'often' would have an accuracy of 0.95, so "
        "judge by macro_f1, not by accuracy; --class-weights balanced learns the rare ones too"
    )
    assert caplog.records[0].getMessage() == f"the classes of the training data are {message}"
    caplog.clear()
    assert model.metrics(texts, labels) == {
        "accuracy": 0.95,
        "macro_f1": pytest.approx(0.4872, abs=1e-4),
        "texts": 60,
    }
    [record] = caplog.records
    assert "'often' has 57 examples, 'rare' 3" in record.getMessage()
    caplog.clear()
    ss.Classifier(**TINY).fit(TEXTS, LABELS)
    assert "imbalanced:" not in caplog.text
