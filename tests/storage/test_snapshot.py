"""A model is read as it was at one moment: nothing that is done to its folder meanwhile, or later, mixes two models."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import stepscan as ss
from stepscan import runtime
from stepscan.errors import ModelFormatError
from stepscan.estimators.folder import read_folder as read_to_train

TEXTS = ["a good film", "a bad film"] * 8
TINY = {"hidden_size": 6, "embedding_size": 4, "epochs": 1, "dropout": 0.0, "bidirectional": False, "pooling": "mean"}
GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two models of one shape: one knows the labels A0 and A1, the other B0 and B1."""
    place = tmp_path_factory.mktemp("two")
    found = {}
    for seed, name in enumerate("AB"):
        found[name] = ss.Classifier(**TINY, seed=seed).fit(TEXTS, [f"{name}0", f"{name}1"] * 8)
        found[name].save(place / name)
    return place, found


@pytest.fixture
def folder(two, tmp_path):
    return Path(shutil.copytree(two[0] / "A", tmp_path / "model"))


LOADERS = {"runtime": runtime.load, "estimators": ss.load}


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_a_folder_that_is_replaced_while_it_is_loaded(two, folder, load):
    """Whole and of one model each time: A's weights go with A's labels, and there is no moment without a model."""
    models = two[1]
    expected = {f"{name}0": model.predict_proba(TEXTS[:2]) for name, model in models.items()}
    end, replaced, wrong = time.monotonic() + 3, [], []

    def replace():
        while time.monotonic() < end:
            models["AB"[len(replaced) % 2]].save(folder, overwrite=True)
            replaced.append(1)

    writer = threading.Thread(target=replace)
    writer.start()
    loads = 0
    while time.monotonic() < end:
        model = load(folder)
        loads += 1
        if not np.allclose(model.predict_proba(TEXTS[:2]), expected[model.labels_[0]], atol=1e-6):
            wrong.append(model.labels_)
    writer.join()
    assert wrong == []
    assert loads > 20
    assert len(replaced) > 5


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize("name", ["labels.json", "model.safetensors", "metrics.jsonl"])
def test_a_file_of_another_model(two, folder, load, name):
    shutil.copy(two[0] / "B" / name, folder / name)
    if name == "metrics.jsonl" and load is runtime.load:
        model = load(folder)  # the curve is not needed to use a model
        with pytest.raises(
            ModelFormatError, match=r"expected metrics\.jsonl with the SHA-256 that config.json records"
        ):
            _ = model.history_
        return
    with pytest.raises(ModelFormatError, match=f"expected {name} with the SHA-256 that config.json records, got anoth"):
        load(folder)


def test_the_configuration_of_another_model(two, folder):
    shutil.copy(two[0] / "B" / "config.json", folder / "config.json")
    with pytest.raises(ModelFormatError, match=r"expected labels\.json and model\.safetensors with the SHA-256"):
        runtime.load(folder)


def test_what_may_be_edited(folder):
    """The model card; settings of use in config.json; a file, if its entry is removed from config.json, as the error
    says."""
    (folder / "README.md").write_text("# Ours")
    (folder / "labels.json").write_text('["no", "yes"]')
    with pytest.raises(ModelFormatError, match=r"remove labels.json from 'files' in config.json"):
        runtime.load(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["files"]["labels.json"]
    (folder / "config.json").write_text(json.dumps(config))
    assert runtime.load(folder).labels_ == ss.load(folder).labels_ == ["no", "yes"]
    config["files"]["model.safetensors"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelFormatError, match=r"config.json: files: expected an object of SHA-256 by file name, got"):
        runtime.load(folder)


@pytest.mark.parametrize("how", ["truncated", "rewritten"])
@pytest.mark.parametrize("load", ["runtime.load", "ss.load"])
def test_weights_that_are_written_in_place(two, folder, how, load):
    """The process keeps what it loaded. (A file that was mapped answers with the new bytes, or ends with SIGBUS.)"""
    change = (
        "os.truncate(path, 16)" if how == "truncated" else "open(path, 'r+b').write(open(sys.argv[2], 'rb').read())"
    )
    code = (
        "import os, sys; import stepscan as ss; from stepscan import runtime\n"
        f"path = sys.argv[1] + '/model.safetensors'; model = {load}(sys.argv[1])\n"
        f"before = model.predict_proba(['a good film']).tolist(); {change}\n"
        "print(before == model.predict_proba(['a good film']).tolist())"
    )
    command = [sys.executable, "-c", code, folder, two[0] / "B" / "model.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_training_may_begin_with_weights_that_change(two, folder):
    found = read_to_train(folder)
    before = {name: tensor.clone() for name, tensor in found.model.state_dict().items()}
    (folder / "model.safetensors").write_bytes((two[0] / "B" / "model.safetensors").read_bytes())
    assert all((tensor == before[name]).all() for name, tensor in found.model.state_dict().items())


# Pickles and copies ---------------------------------------------------------------------------------------------------


def asked(model):
    match model.task:
        case "classify":
            return model.predict_proba(["a good film", ""] if model.tokenizers_ else [np.ones((4, 2))]).tolist()
        case "tag":
            return [one.tolist() for one in model.predict_proba([["ab", "cd"], []])]
        case "generate":
            return model.generate("ab", length=20, seed=0)
        case _:
            return [model.translate(["abc", "ca"]), model.beam_width]


COPIES = {"pickle": lambda one: pickle.loads(pickle.dumps(one)), "deepcopy": copy.deepcopy, "copy": copy.copy}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small model of each kind that has a session, on disk."""
    place = tmp_path_factory.mktemp("models")
    size = {"hidden_size": 6, "epochs": 1, "dropout": 0.0}
    causal = {**size, "bidirectional": False}
    series = [np.arange(6.0).reshape(3, 2) + n for n in range(8)]
    ss.Classifier(**causal, pooling="attention").fit(TEXTS, ["good", "bad"] * 8).save(place / "classify")
    ss.Classifier(**causal, cell="gru", pooling="max").fit(series, ["a", "b"] * 4).save(place / "series")
    ss.Tagger(**causal, crf=False).fit([["ab", "cd"]] * 8, [["X", "Y"]] * 8).save(place / "tag")
    ss.LanguageModel(**size, cell="lstm", bptt=8, batch_size=4).fit("abc abd\n" * 20).save(place / "generate")
    shutil.copytree(GOLDEN / "tag-crf", place / "tag-crf")
    shutil.copytree(GOLDEN / "translate", place / "translate")
    return place


KINDS = ["classify", "series", "tag", "tag-crf", "generate", "translate"]


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", KINDS)
def test_a_model_is_pickled_with_all_that_it_is(models, tmp_path, name, copied):
    """Although its folder is gone by then."""
    shutil.copytree(models / name, tmp_path / "model")
    model = runtime.load(tmp_path / "model", weights="bfloat16", threads=2)
    if name == "translate":
        model.beam_width = 7
    expected, curve = asked(model), model.history_
    shutil.rmtree(tmp_path / "model")
    twin = copied(model)
    assert asked(twin) == expected
    assert (type(twin), twin.threads, twin.weights, twin.path) == (type(model), 2, "bfloat16", model.path)
    assert (twin.history_, twin.settings, twin.fingerprint) == (curve, model.settings, model.fingerprint)


PIECES = {
    "classify": ("a good", "film"),
    "series": (np.ones((2, 2)), np.zeros((1, 2))),
    "tag": (["ab"], ["cd"]),
    "generate": ("ab", "c"),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("name", PIECES)
def test_a_session_is_pickled_with_its_state(models, name, copied):
    session = runtime.load(models / name).session()
    session.push(PIECES[name][0])
    twin = copied(session)
    assert twin.state() == session.state()
    found, expected = (one.push(PIECES[name][1]) for one in (twin, session))
    assert np.array_equal(found, expected)
    assert twin.state() == session.state() != session._model.session().state()


def test_a_model_and_its_sessions_stay_together(models):
    model = runtime.load(models / "generate")
    sessions = [model.session(), model.session()]
    sessions[0].push("ab")
    twin, others = pickle.loads(pickle.dumps((model, sessions)))
    for found, expected in zip(
        twin.step_batch(others, ["c", "a"]), model.step_batch(sessions, ["c", "a"]), strict=True
    ):
        assert np.array_equal(found, expected)


def test_a_model_in_other_processes(two):
    """multiprocessing's spawn hands models over as pickles."""
    code = (
        "import multiprocessing as m, sys; from stepscan import runtime\n"
        "if __name__ == '__main__':\n"
        "    model = runtime.load(sys.argv[1]); texts = [['a good film'], ['a bad film']]\n"
        "    with m.get_context('spawn').Pool(2) as pool: found = pool.map(model.predict_proba, texts)\n"
        "    print([(a == model.predict_proba(t)).all() for a, t in zip(found, texts)])\n"
    )
    script = two[0] / "script.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script, two[0] / "A"], capture_output=True, text=True)
    assert done.stdout.replace("np.True_", "True") == "[True, True]\n", done.stderr


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_estimators_are_pickled_too(two, copied):
    model = two[1]["A"]
    twin = copied(model)
    assert (twin.predict_proba(TEXTS) == model.predict_proba(TEXTS)).all()
    assert twin.predict(["<eos>"]) == model.predict(["<eos>"])
    assert (twin.get_params(), twin.history_) == (model.get_params(), model.history_)
