from __future__ import annotations

import pytest

import stepscan as ss
from stepscan.errors import SettingsError
from stepscan.estimators.files import ESTIMATORS
from stepscan.training.settings import ModelSettings, TrainingSettings, validated

WHOLE = {
    "epochs": 3,
    "batch_size": 2,
    "learning_rate": 0.1,
    "warmup": 0.0,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "patience": 1,
    "seed": 0,
    "device": "cpu",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"epochs": 0}, "epochs: input should be greater than or equal to 1, got 0"),
        ({"epochs": 2.5}, "epochs: input should be a valid integer, got 2.5"),
        ({"epochs": "3"}, "epochs: input should be a valid integer, got '3'"),
        ({"epochs": True}, "epochs: input should be a valid integer, got True"),
        ({"time_budget": 0.0}, "time_budget: input should be greater than 0, got 0.0"),
        ({"learning_rate": 0}, "learning_rate: input should be greater than 0, got 0"),
        ({"clip_norm": float("nan")}, "clip_norm: input should be greater than 0, got nan"),
        ({"weight_decay": -0.1}, "weight_decay: input should be greater than or equal to 0, got -0.1"),
        ({"warmup": 1.01}, "warmup: input should be less than or equal to 1, got 1.01"),
        ({"seed": 2**63}, f"seed: input should be less than {2**63}, got {2**63}"),
        ({"device": "tpu"}, "device: input should be 'cpu' or 'cuda', got 'tpu'"),
        ({"epoch": 3}, "unknown setting 'epoch'. Did you mean 'epochs'?"),
        ({"epochs": 0, "patience": 0}, "epochs: input should be greater than or equal to 1, got 0; patience: input"),
    ],
)
def test_wrong_training_setting(change, expected):
    with pytest.raises(SettingsError) as caught:
        validated(TrainingSettings, {**WHOLE, **change})
    assert str(caught.value).startswith(expected)


def test_extremes_that_are_allowed():
    given = {**WHOLE, "epochs": 1, "warmup": 1.0, "weight_decay": 0, "time_budget": None, "seed": 2**63 - 1}
    settings = validated(TrainingSettings, given)
    assert {name: getattr(settings, name) for name in given} == given
    with pytest.raises(ValueError, match="frozen"):
        settings.epochs = 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"layers": 0}, "layers: input should be greater than or equal to 1, got 0"),
        ({"dropout": 1.0}, "dropout: input should be less than 1, got 1.0"),
        ({"pooling": "avg"}, "pooling: input should be 'last', 'mean', 'max' or 'attention', got 'avg'"),
        ({"bidirectional": "yes"}, "bidirectional: input should be a valid boolean, got 'yes'"),
        ({"vocabulary_size": 4}, "vocabulary_size: input should be greater than or equal to 5, got 4"),
        ({"cell": 3}, "cell: input should be a valid string, got 3"),
        ({"hiden_size": 3}, "unknown setting 'hiden_size'. Did you mean 'hidden_size'?"),
    ],
)
def test_wrong_model_setting(change, expected):
    with pytest.raises(SettingsError) as caught:
        validated(ModelSettings, change)
    assert str(caught.value) == expected


@pytest.mark.parametrize("kind", ESTIMATORS.values())
def test_defaults_are_valid(kind):
    """Every setting of an estimator is known to one of the two kinds, and its default passes, but for None: that it is
    to be chosen."""
    given = kind().get_params()
    assert set(given) <= set(TrainingSettings.model_fields) | set(ModelSettings.model_fields)
    given = {name: value for name, value in given.items() if value is not None}
    validated(TrainingSettings, {name: value for name, value in given.items() if name in TrainingSettings.model_fields})
    validated(ModelSettings, {n: v for n, v in given.items() if n not in TrainingSettings.model_fields})


def test_wrong_settings_are_found_by_fit_not_by_the_constructor():
    """As scikit-learn wants it: the constructor only keeps what it is given."""
    model = ss.Classifier(epochs=0)
    assert model.get_params()["epochs"] == 0
    with pytest.raises(SettingsError, match="epochs: input should be greater than or equal to 1, got 0"):
        model.fit(["a", "b"], ["x", "y"])
    assert not hasattr(model, "model_")
