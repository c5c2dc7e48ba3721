"""What no data could make good is refused before any are read."""

from __future__ import annotations

import pytest

import stepscan as ss
from stepscan.errors import SettingsError
from stepscan.estimators import files
from stepscan.estimators.base import ESTIMATORS

CASES = [
    *((task, {"cell": "mingruu"}, r"unknown cell 'mingruu'\. Did you mean 'mingru'") for task in ESTIMATORS),
    *((task, {"cell": "lstm,gru", "layers": 3}, "layers: expected 2, the number of cells") for task in ESTIMATORS),
    ("classify", {"cell": "gru", "forget_bias": 1.0}, "forget_bias: expected a cell that has it"),
    ("tag", {"cell": "transformer", "residual": True}, "residual: expected elman, lstm or gru"),
    ("tag", {"crf": True, "label_smoothing": 0.1}, "label_smoothing: expected 0 with crf"),
    ("classify", {"problem_type": "regression", "label_smoothing": 0.1}, "label_smoothing: expected 0 for regression"),
    ("classify", {"problem_type": "multilabel", "class_weights": "balanced"}, "class_weights: expected 'none'"),
    ("translate", {"attention": "cross", "input_feeding": True}, "attention: expected 'additive', 'dot' or 'general'"),
    ("generate", {"cell": "elman", "initialisation": "chrono"}, "chrono"),
]


@pytest.mark.parametrize(("task", "settings", "message"), CASES)
def test_wrong_settings_are_refused_before_files_are_read(task, settings, message, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "read_data", lambda *_: pytest.fail("data were read"))
    with pytest.raises(SettingsError, match=message):
        files.train(task, [tmp_path / "data.txt"], tmp_path / "model", settings=settings)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("task", ESTIMATORS)
def test_good_settings_leave_the_estimator_as_it_was(task):
    for cell in ("lstm", "transformer", "gru,mingru"):
        estimator = ESTIMATORS[task](cell=cell, initialisation="orthogonal")
        before = dict(vars(estimator))
        estimator.check_architecture()
        assert vars(estimator) == before


def test_fit_refuses_them_too():
    with pytest.raises(SettingsError, match="unknown cell 'mingruu'"):
        ss.Classifier(cell="mingruu").fit(None, None)
