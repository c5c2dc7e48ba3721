"""The one table of options: values that it takes and refuses, and that all who have options have them from it."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import stepscan as ss
from stepscan.errors import SettingsError
from stepscan.estimators.base import ESTIMATORS
from stepscan.options import (
    RENAMED,
    TASKS,
    ReadingOptions,
    TrainingOptions,
    check_settings,
    described_options,
    settings_of,
    unknown_setting,
)
from stepscan.registry import registered_classes

ALL = {name: one for options in TASKS.values() for name, one in settings_of(options).items()}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
        ({"epochs": 2.5}, "epochs: expected a whole number of at least 1, got 2.5"),
        ({"epochs": "3"}, "epochs: expected a whole number of at least 1, got '3'"),
        ({"epochs": True}, "epochs: expected a whole number of at least 1, got True"),
        ({"batch_size": 10**400}, "batch_size: expected at most 2,147,483,647, got 1000"),
        ({"time_budget": 0.0}, "time_budget: expected seconds, a finite number above 0, got 0.0"),
        ({"learning_rate": 0}, "learning_rate: expected a finite number above 0, got 0"),
        ({"learning_rate": 10**400}, "learning_rate: expected a finite number above 0, got 1000"),
        ({"max_grad_norm": float("nan")}, "max_grad_norm: expected a number above 0, got nan"),
        ({"weight_decay": -0.1}, "weight_decay: expected a finite number of at least 0, got -0.1"),
        ({"warmup_ratio": 1.01}, "warmup_ratio: expected a number of at least 0 and at most 1, got 1.01"),
        ({"seed": 2**63}, f"seed: expected at most {2**63 - 1:,}, got {2**63}"),
        ({"device": "tpu"}, "device: expected 'cpu' or 'cuda', got 'tpu'"),
        ({"seed": None}, f"seed: expected a whole number from 0 to {2**63 - 1:,}, got None"),
        ({"layers": 0}, "layers: expected a whole number from 1 to 1,000, got 0"),
        ({"dropout": 1.0}, "dropout: expected a probability, at least 0 and below 1, got 1.0"),
        ({"pooling": "avg"}, "pooling: expected 'last', 'mean', 'max' or 'attention', got 'avg'"),
        ({"bidirectional": "yes"}, "bidirectional: expected True or False, got 'yes'"),
        ({"vocabulary_size": 4}, "vocabulary_size: expected a whole number of at least 5, got 4"),
        ({"cell": 3}, "cell: expected a string, got 3"),
        ({"input_noise": -1}, "input_noise: expected a standard deviation, finite and at least 0, got -1"),
        ({"tensorboard": 3}, "tensorboard: expected a path, got 3"),
        ({"epoch": 3}, "unknown setting 'epoch'. Did you mean 'epochs'?"),
        ({"crf": True}, "unknown setting 'crf'. It is an option of tag."),
        ({"clip_norm": 1.0}, "'clip_norm' is called 'max_grad_norm' now"),
        (
            {"epochs": 0, "patience": 0},
            "epochs: expected a whole number of at least 1, got 0; patience: expected a whole",
        ),
    ],
    ids=str,
)
def test_wrong_values(given, expected):
    with pytest.raises(SettingsError) as caught:
        check_settings(ss.Classifier, given)
    assert str(caught.value).startswith(expected)


def test_extremes_that_are_allowed():
    check_settings(
        ss.Classifier,
        {
            **{"epochs": 1, "warmup_ratio": 1.0, "weight_decay": 0, "time_budget": None, "seed": 2**63 - 1},
            **{
                "vocabulary_size": None,
                "max_grad_norm": float("inf"),
                "layers": np.int64(3),
                "dropout": np.float32(0.5),
                "size": "large",
            },
        },
    )


@pytest.mark.parametrize("task", TASKS)
def test_estimators_take_their_options_from_the_table(task):
    kind, settings = ESTIMATORS[task], settings_of(TASKS[task])
    parameters = inspect.signature(kind).parameters
    assert list(parameters) == list(settings)
    assert {name: one.default for name, one in parameters.items()} == {n: one.default for n, one in settings.items()}
    check_settings(kind, kind().get_params())
    for line in described_options(kind):
        assert line in kind.__doc__


@pytest.mark.parametrize("name", [*ALL, *settings_of(ReadingOptions)])
def test_help_says_one_plain_thing(name):
    """A sentence that ends in a full stop; what None stands for is said wherever it is not chosen by the data."""
    text = {**ALL, **settings_of(ReadingOptions)}[name].option.help
    assert text.endswith((".", "…"))
    assert len(text) < 260
    assert {"beside", "anew", "nobody", "likewise"}.isdisjoint(text.split())


def test_help_of_cell_names_every_cell():
    named = ALL["cell"].option.help
    for name, cls in registered_classes().items():
        parameters = list(inspect.signature(cls.__init__).parameters)
        if parameters[1:3] == ["input_size", "hidden_size"] and cls.__module__.startswith("stepscan.cells"):
            assert name in named or name == "bidirectional_transformer", name


def test_renamed_options():
    """None is an option today; each is, in what it was renamed to."""
    for old, new in RENAMED.items():
        assert old not in ALL
        assert new in ALL
        assert unknown_setting(old, {}).startswith(f"{old!r} is called {new!r} now")
    values = "class: classification, labels: multilabel, number: regression"
    assert unknown_setting("decision", {}) == f"'decision' is called 'problem_type' now ({values})"
    with pytest.raises(TypeError, match="Tagger: 'clip_norm' is called 'max_grad_norm' now"):
        ss.Tagger(clip_norm=1.0)


def test_what_resume_may_change():
    assert {name for name, one in settings_of(TrainingOptions).items() if one.option.resumable} == {
        *("epochs", "max_updates", "time_budget", "patience", "learning_rate", "weight_decay", "max_grad_norm"),
        *("max_grad_value", "warmup_ratio", "decay_ratio", "verbose"),
    }


def test_wrong_settings_are_found_by_fit_not_by_the_constructor():
    """As scikit-learn wants it: the constructor only keeps what it is given."""
    model = ss.Classifier(epochs=0)
    assert model.get_params()["epochs"] == 0
    with pytest.raises(SettingsError, match="epochs: expected a whole number of at least 1, got 0"):
        model.fit(["a", "b"], ["x", "y"])
    assert not hasattr(model, "model_")
