"""Balanced classes: each counts as much as another, however rare it is."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score
from sklearn.utils.class_weight import compute_class_weight
from toy_tasks import NETWORK

import stepscan as ss

SMALL = {"hidden_size": 8, "embedding_size": 8, "batch_size": 32, **NETWORK}


def imbalanced(count: int, seed: int) -> tuple[list[str], list[str]]:
    """One of 20 is rare; its word `r` stands in a tenth of the others, too."""
    draw, texts, labels = random.Random(seed), [], []
    for number in range(count):
        rare = number % 20 == 0
        words = [*draw.choices("abcdefgh", k=4), *("r" * (rare or draw.random() < 0.1))]
        draw.shuffle(words)
        texts.append(" ".join(words))
        labels.append("rare" if rare else "often")
    return texts, labels


def test_the_rare_class_is_found():
    """Of 100 texts with `r`, a third is rare: always saying often is right more often, but finds none."""
    X, y = imbalanced(600, 1)
    X_test, y_test = imbalanced(400, 2)
    recall, accuracy = {}, {}
    for weights in ("none", "balanced"):
        predictions = ss.Classifier(class_weights=weights, epochs=6, **SMALL).fit(X, y).predict(X_test)
        recall[weights] = recall_score(y_test, predictions, pos_label="rare")
        accuracy[weights] = np.mean(predictions == np.array(y_test))
    assert recall["balanced"] > 0.9
    assert recall["none"] < 0.5
    assert accuracy["balanced"] > 0.8


def test_the_weights_are_scikit_learns():
    model = ss.Classifier(class_weights="balanced", epochs=1, **SMALL).fit(*imbalanced(100, 1))
    encoder = model.model_
    y = np.array([0] * 6 + [1] * 2)
    encoder.balance(torch.from_numpy(y))
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=y)
    np.testing.assert_allclose(encoder.class_weights.numpy(), expected)
    assert expected[y].mean() == 1


def test_only_the_loss_of_training_is_weighted():
    encoder = ss.Encoder(ss.Embedding(5, 3), ss.GRU(3, 4), 2)
    inputs, targets = ss.Sequences(torch.tensor([[1, 2], [3, 4], [1, 1]]), [2, 2, 2]), torch.tensor([0, 1, 0])
    plain = [encoder.loss(ss.Sequences(inputs.data[i : i + 1], [2]), targets[i : i + 1]).total for i in range(3)]
    encoder.balance(torch.tensor([0, 0, 0, 1]))
    torch.testing.assert_close(encoder.loss(inputs, targets).total, (plain[0] + plain[2]) * 4 / 6 + plain[1] * 2)
    encoder.eval()
    torch.testing.assert_close(encoder.loss(inputs, targets).total, sum(plain))
    assert "class_weights" not in encoder.state_dict()


def test_the_best_is_chosen_by_macro_f1(tmp_path):
    model = ss.Classifier(class_weights="balanced", epochs=1, **SMALL).fit(*imbalanced(100, 1))
    assert next(name for name in model.history_[0] if name.startswith("valid_")) == "valid_macro_f1"
    assert (model.yardstick_["name"], model.yardstick_["scores"]) == ("best random guess", {"macro_f1": 0.5})
    model.save(tmp_path / "model")
    again = ss.load(tmp_path / "model")
    assert again.class_weights == "balanced"
    assert again.yardstick(["a", "b"], ["rare", "often"]).scores == {"macro_f1": 0.5}
    assert ss.runtime.load(tmp_path / "model").predict(["a b"]) == again.predict(["a b"])


@pytest.mark.parametrize("problem_type", ["multilabel", "regression"])
def test_only_classes_have_weights(problem_type):
    with pytest.raises(ss.SettingsError, match=f"class_weights: expected 'none' for {problem_type}, got 'balanced'"):
        ss.Classifier(problem_type=problem_type, class_weights="balanced").fit(["a", "b"], [1, 2])


def test_the_warning_names_the_remedy(caplog):
    X, y = imbalanced(100, 1)
    ss.Classifier(epochs=1, **SMALL).fit(X, y)
    assert "; --class-weights balanced learns the rare ones too" in caplog.text
    caplog.clear()
    ss.Classifier(epochs=1, class_weights="balanced", **SMALL).fit(X, y)
    assert "imbalanced" in caplog.text
    assert "--class-weights balanced learns" not in caplog.text
