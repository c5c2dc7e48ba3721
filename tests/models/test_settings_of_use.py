"""The runtime knows the settings of every estimator without importing one, and says of wrong ones what they say."""

from __future__ import annotations

import json
import shutil

import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.kernels import native
from stepscan.options import settings_of
from stepscan.storage.folder import read_folder

OF_A_RUN = {name for name, one in settings_of(ss.Classifier).items() if not one.option.recorded}
RUN = {  # settings of a run, and what a hostile folder would set them to
    "checkpoints": "mine",
    "checkpoint_every": 0.0,
    "resume": True,
    "init_from": "mine",
    "embeddings": "mine",
    "tensorboard": "mine",
    "monitor_gradients": True,
    "processes": 2,
    "cache_dir": "mine",
}


@pytest.mark.skipif(native.library is None, reason="no native library was built")
def test_settings_of_a_folder(models, tmp_path):
    folder = tmp_path / "m"
    ss.load(models["translate"]).save(folder)
    config = json.loads((folder / "config.json").read_text())
    for change, words in (
        ({"beam_width": 0}, "config.json: beam_width: expected a whole number from 1 to 1,000, got 0"),
        ({"beam_with": 2}, "config.json: unknown setting 'beam_with'. Did you mean 'beam_width'?"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, "settings": {**config["settings"], **change}}))
        for load in (runtime.load, ss.load):
            with pytest.raises(ss.ModelFormatError, match=words):
                load(folder)
    del config["settings"]["coverage_penalty"]  # a folder from before there was one
    (folder / "config.json").write_text(json.dumps(config))
    assert runtime.load(folder).coverage_penalty == 0


def set_in(folder, **settings):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "settings": {**config["settings"], **settings}}))


READERS = pytest.mark.parametrize("load", [runtime.load, ss.load], ids=["runtime", "estimators"])


@READERS
@pytest.mark.parametrize("name", RUN)
def test_a_folder_sets_nothing_of_a_run(folder_of_a_classifier, load, name):
    assert set(RUN) | {"device", "verbose"} == OF_A_RUN
    for value in (RUN[name], None, False, "", [], 10**400):
        set_in(folder_of_a_classifier, **{name: value})
        with pytest.raises(ss.ModelFormatError, match=f"got {name}: .* is a setting of a training run"):
            load(folder_of_a_classifier)


@READERS
def test_device_and_verbose_of_early_versions_are_ignored(folder_of_a_classifier, load, caplog):
    caplog.set_level("INFO", logger="stepscan")
    set_in(folder_of_a_classifier, device="cpu", verbose=False)
    load(folder_of_a_classifier)
    assert not caplog.messages, "they say what is the default"
    set_in(folder_of_a_classifier, device="cuda", verbose=True)
    model = load(folder_of_a_classifier)
    assert sorted(message.partition("records ")[2].partition(",")[0] for message in caplog.messages) == [
        "device: 'cuda'",
        "verbose: True",
    ]
    assert getattr(model, "device", "cpu") == "cpu"
    assert not getattr(model, "verbose", False)
    assert {"device", "verbose"}.isdisjoint(read_folder(folder_of_a_classifier).settings)


@pytest.fixture
def folder_of_a_classifier(models, tmp_path):
    shutil.copytree(models["classify"], tmp_path / "model")
    return tmp_path / "model"


def test_nothing_of_a_run_is_written(models, tmp_path):
    model = ss.load(models["classify"]).set_params(device="cuda", verbose=True, checkpoints=tmp_path, resume=True)
    model.save(tmp_path / "model")
    assert OF_A_RUN.isdisjoint(json.loads((tmp_path / "model" / "config.json").read_text())["settings"])
    assert "cuda" not in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize("name", ["beam_width", "length_penalty", "coverage_penalty"])
@READERS
def test_bounds_of_what_using_a_model_depends_on(models, tmp_path, load, name):
    shutil.copytree(models["translate"], tmp_path / "model")
    for value in (10**18, 10**400, 1e300, -1, True, "5", None, [5]):
        set_in(tmp_path / "model", **{name: value})
        with pytest.raises(ss.ModelFormatError, match=f"config.json: {name}: expected") as caught:
            load(tmp_path / "model")
        assert len(str(caught.value)) < 300


@READERS
def test_bounds_hold_where_a_setting_is_changed_later(models, load):
    model = load(models["translate"])
    for name, value in (("beam_width", 10**18), ("length_penalty", 10**400), ("coverage_penalty", float("nan"))):
        before = getattr(model, name)
        setattr(model, name, value)
        with pytest.raises(ss.SettingsError, match=f"{name}: expected"):
            model.predict(["abc"])
        setattr(model, name, before)
    for n_best in (10**18, 0, 2.5, True):
        with pytest.raises(ss.SettingsError, match="n_best: expected"):
            model.translate(["abc"], n_best=n_best)
