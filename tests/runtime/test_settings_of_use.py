"""The runtime knows the settings of every estimator without importing one, and says of wrong ones what they say."""

from __future__ import annotations

import json

import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.estimators.base import ESTIMATORS
from stepscan.kernels import native
from stepscan.runtime.settings import SETTINGS, check_use
from stepscan.training.settings import ModelSettings, validated

WRONG = [
    {"beam_width": 0},
    {"beam_width": 2.5},
    {"beam_width": "many"},
    {"length_penalty": -1.0},
    {"coverage_penalty": -0.5},
    {"decision": "clas"},
]


def test_they_are_the_estimators():
    assert {task: set(kind().get_params()) for task, kind in ESTIMATORS.items()} == SETTINGS


@pytest.mark.parametrize("given", WRONG, ids=str)
def test_wrong_values(given):
    found = []
    for check in (check_use, lambda values: validated(ModelSettings, values)):
        with pytest.raises(ss.SettingsError) as error:
            check(given)
        found.append(str(error.value))
    assert found[0] == found[1]


def test_right_values():
    check_use({})
    check_use({"beam_width": 3, "length_penalty": 0, "coverage_penalty": 0.5, "decision": "labels", "cell": "lstm"})


@pytest.mark.skipif(native.library is None, reason="no native library was built")
def test_settings_of_a_folder(models, tmp_path):
    folder = tmp_path / "m"
    ss.load(models["translate"]).save(folder)
    config = json.loads((folder / "config.json").read_text())
    for change, words in (
        ({"beam_width": 0}, "config.json: beam_width: input should be greater than or equal to 1, got 0"),
        ({"beam_with": 2}, "config.json: Translator has no setting 'beam_with'. Did you mean 'beam_width'?"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, "settings": {**config["settings"], **change}}))
        for load in (runtime.load, ss.load):
            with pytest.raises(ss.ModelFormatError, match=words):
                load(folder)
    del config["settings"]["coverage_penalty"]  # a folder from before there was one
    (folder / "config.json").write_text(json.dumps(config))
    assert runtime.load(folder).coverage_penalty == 0
