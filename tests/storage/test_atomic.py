"""What is replaced and removed is what this project wrote, and only one process at a time writes to one place."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stepscan.errors import ModelFormatError, StepscanError
from stepscan.storage import atomic, lock
from stepscan.storage.atomic import atomic_write, write_lock
from stepscan.storage.compression import compress
from stepscan.storage.folder import read_folder
from stepscan.storage.lock import SAVING, TRAINING, lock_file, locked
from stepscan.storage.ownership import remove_checkpoints

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0"


@pytest.fixture
def model(tmp_path):
    """A model folder that an older version wrote."""
    shutil.copytree(GOLDEN / "classify", tmp_path / "model")
    (tmp_path / "model" / "expected.json").unlink()
    return tmp_path / "model"


def contents(folder):
    """Every file, hidden ones too; links as what they say."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


def replaced(path):
    """Another model at `path`."""
    compress(GOLDEN / "classify", "int8", path, overwrite=True)


def put(name, text="mine"):
    def change(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return change


def link(name):
    return lambda folder: ((folder / name).unlink(missing_ok=True), (folder / name).symlink_to("/etc/hostname"))


OTHERS = {
    "a file": (put("notes.txt"), "model/notes.txt"),
    "a hidden file": (put(".gitattributes"), "model/.gitattributes"),
    "a repository": (put(".git/HEAD"), "model/.git"),
    "a folder": (put("data/train.csv"), "model/data"),
    "a link": (link("labels.json"), "model/labels.json"),
    "a folder with the name of a file": (
        lambda folder: ((folder / "README.md").unlink(), (folder / "README.md").mkdir()),
        "model/README.md",
    ),
    "checkpoints of others": (put("checkpoints/best.pt"), "model/checkpoints/best.pt"),
    "a checkpoint with more in it": (put("checkpoints/step-000000001/me"), "model/checkpoints/step-000000001/me"),
    "checkpoints that are a link": (
        lambda folder: (folder / "checkpoints").symlink_to(folder.parent),
        "model/checkpoints",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_of_others_is_named_and_nothing_is_touched(model, monkeypatch, name):
    change, expected = OTHERS[name]
    change(model)
    monkeypatch.chdir(model.parent)
    before = contents(model.parent)
    with pytest.raises(
        StepscanError, match=f"^{expected} is not a file of a model, and would be deleted with model; mo"
    ):
        replaced("model")
    assert contents(model.parent) == before


@pytest.mark.parametrize("config", ['{"name": "my web app"}', "[]", "null", "", "{", '{"format": "other"}', "\xff"])
def test_a_config_json_of_others(tmp_path, config):
    for name, text in {"config.json": config, "src/index.js": "1", ".git/HEAD": "ref"}.items():
        (tmp_path / "webapp" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "webapp" / name).write_text(text, "latin-1")
    before = contents(tmp_path)
    with pytest.raises(StepscanError, match="webapp: expected a new name or a model folder, got something else"):
        replaced(tmp_path / "webapp")
    assert contents(tmp_path) == before


def test_something_that_comes_in_the_last_moment(model, monkeypatch):
    """The old folder is looked at again when nobody can put anything into it by its name any more."""
    backup_path = atomic.backup_path

    def late(path):
        if not (path / "late.txt").exists() and path.exists() and (path.parent / "ready").exists():
            (path / "late.txt").write_text("mine")
        return backup_path(path)

    def write(place):
        shutil.copy(GOLDEN / "classify" / "config.json", place / "config.json")
        (model.parent / "ready").touch()

    monkeypatch.setattr(atomic, "backup_path", late)
    with pytest.raises(StepscanError, match=r"late.txt is not a file of a model"):
        atomic_write(model, write, overwrite=True)
    assert (model / "late.txt").read_text() == "mine"
    assert sorted(path.name for path in model.parent.iterdir()) == ["model", "ready"]


def test_a_model_and_its_checkpoints_are_replaced(model):
    (model / "checkpoints" / "step-000000007").mkdir(parents=True)
    (model / "checkpoints" / "step-000000007" / "state.json").write_text("{}")
    with pytest.raises(StepscanError, match=r"is already a model folder; choose another name, or overwrite it"):
        compress(GOLDEN / "classify", "int8", model)
    replaced(model)
    assert read_folder(model).weights == "int8"
    assert not (model / "checkpoints").exists()


def test_what_killed_processes_left_is_removed_and_nothing_else(model):
    place = model.parent
    for name in (
        ".model.0123abcd.tmp/model.safetensors",
        ".model.old/config.json",
        ".model.old/.labels.json.0123abcd.tmp",
    ):
        put(name)(place)
    others = (".model.backup.tmp/a.txt", ".model.0123abce.tmp/a.txt", ".model2.0123abcd.tmp/config.json")
    for name in others:
        put(name)(place)
    replaced(model)
    assert {name for name in contents(place) if (place / name).is_file() and not name.startswith("model/")} == {*others}


def test_the_users_own_folder_of_the_name_that_we_use(model):
    put(".model.old/thesis.tex")(model.parent)
    with pytest.raises(StepscanError, match=r"\.model\.old: expected files of a model, got others; move the folder"):
        replaced(model)
    assert (model.parent / ".model.old" / "thesis.tex").read_text() == "mine"
    shutil.rmtree(model)
    replaced(model)  # it is not taken for the model that stood there before
    assert (model.parent / ".model.old" / "thesis.tex").read_text() == "mine"


def test_a_model_that_waits_aside_is_found(model):
    """A process died between the two renames: until the next one mends it, loading says where the model is."""
    model.rename(model.parent / ".model.old")
    with pytest.raises(ModelFormatError, match=r"model does not exist; a process was stopped .*\.model\.old: rename"):
        read_folder(model)


def test_checkpoints_of_others_stay(tmp_path):
    put("step-000000001/state.json")(tmp_path)
    put("step-000000002/other.txt")(tmp_path)
    put("step-notes/a.txt")(tmp_path)
    put("work.tmp/a.txt")(tmp_path)
    put("step-000000003.tmp/.tmpOVSmi1")(tmp_path)
    put("step-000000004/.tmpOVSmi1")(tmp_path)
    remove_checkpoints(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000000002",
        "step-000000004",
        "step-notes",
        "work.tmp",
    ]


# Links ----------------------------------------------------------------------------------------------------------------


def test_compress_copies_no_secrets(model):
    secret = model.parent / "secret"
    secret.write_text("my key")
    (model / "id_rsa").symlink_to(secret)
    put("notes.txt")(model)
    compress(model, "int8", model.parent / "small")
    assert sorted(path.name for path in (model.parent / "small").iterdir()) == sorted(
        ["README.md", "config.json", "labels.json", "metrics.jsonl", "model.safetensors", "tokenizer.json"]
    )
    (model / "README.md").unlink()
    (model / "README.md").symlink_to(secret)
    with pytest.raises(ModelFormatError, match=r"README.md is a link to .*secret, outside of the model folder.*cp -rL"):
        compress(model, "int8", model.parent / "smaller")
    assert not (model.parent / "smaller").exists()
    assert read_folder(model).task == "classify"  # as caches of models are made; nothing is written


NAMES = {
    "a loop of links": ("loop", "loop cannot be written: "),
    "the root": ("/", "/: expected a new name or a model folder, got something else"),
    "below a file": ("file/model", "file: expected a folder in which to write model, got none; create it first"),
    "below nothing": ("nowhere/model", "nowhere: expected a folder in which to write model, got none; create it first"),
    "a NUL": ("a\0b", "cannot be written: embedded null byte"),
    "too long": ("x" * 300, "cannot be written: File name too long"),
    "far too long": ("x" * 5000, "cannot be written: File name too long"),
    "a file": ("file", "file: expected a new name or a model folder, got something else"),
    "a pipe": ("pipe", "pipe: expected a new name or a model folder, got something else"),  # as a device would be
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_cannot_be_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("file").write_text("mine")
    os.mkfifo("pipe")
    path, expected = NAMES[name]
    before = contents(tmp_path)
    with pytest.raises(StepscanError) as caught:
        replaced(path)
    assert expected in str(caught.value)
    assert contents(tmp_path) == before


def test_a_name_that_is_not_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"m\xff")
    replaced(path)
    replaced(path)
    assert read_folder(path).weights == "int8"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


# Locks ----------------------------------------------------------------------------------------------------------------


def _hold(path, ready):
    with write_lock(path, TRAINING):
        ready.set()
        time.sleep(60)


@pytest.fixture
def elsewhere(tmp_path):
    """Another process that trains into `tmp_path / "model"`."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "model", ready))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_second_writer_is_refused_at_once(tmp_path, elsewhere):
    started = time.monotonic()
    with pytest.raises(
        StepscanError,
        match=rf"model is being written by process {elsewhere.pid} \(training since .* UTC, for \d+ s\); wait until",
    ):
        replaced(tmp_path / "model")
    assert time.monotonic() - started < 2
    assert [path.name for path in tmp_path.iterdir()] == [".model.lock"]


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path, elsewhere):
    elsewhere.kill()
    elsewhere.join()
    assert (tmp_path / ".model.lock").exists()
    replaced(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_lock_of_another_machine_is_named(tmp_path):
    owner = {"purpose": "training", "pid": 7, "host": "gpu3", "boot": "1", "since": time.time() - 90}
    (tmp_path / ".model.lock").write_text(json.dumps(owner))
    expected = (
        r"process 7 \(training .* for 9\d s\), on another machine \(gpu3\); if that has ended, remove .*model.lock"
    )
    with pytest.raises(StepscanError, match=expected):
        replaced(tmp_path / "model")
    assert (tmp_path / ".model.lock").exists()
    owner["host"] = lock._machine_id()["host"]  # ours, before it was started again
    (tmp_path / ".model.lock").write_text(json.dumps(owner))
    replaced(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("content", ["", "null", "[]", "{", '{"pid": 3}', "\xff" * 5000])
def test_a_lock_file_with_something_else_in_it(tmp_path, content):
    (tmp_path / ".model.lock").write_text(content)
    replaced(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_threads_take_turns(tmp_path):
    """Each sees what the one before it wrote; who waits for one that saves is not refused."""
    seen, file = [], tmp_path / "count"
    file.write_text("0")

    def add():
        for _ in range(20):
            with locked(lock_file(file), file, SAVING, patience=20):
                count = int(file.read_text())
                time.sleep(0.0005)
                file.write_text(str(count + 1))
        seen.append(1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(seen), file.read_text()) == (4, "80")
    assert not lock_file(file).exists()


def test_a_lock_is_released_after_an_error_and_may_be_taken_twice(tmp_path):
    path = tmp_path / "model"
    with write_lock(path, TRAINING), write_lock(path, SAVING):
        assert lock_file(path).exists()
    with pytest.raises(KeyError), write_lock(path, TRAINING):
        raise KeyError
    assert not lock_file(path).exists()


def test_compress_that_is_ended_leaves_nothing(tmp_path):
    """SIGTERM, in the middle of writing."""
    code = (
        "import sys, os, signal, stepscan.storage.compression as c; from stepscan.cli import main\n"
        "def end(*_): os.kill(os.getpid(), signal.SIGTERM)\n"
        "c.write_tensors = end; sys.argv = ['stepscan', 'compress', sys.argv[1], '--out', 'small']; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, GOLDEN / "classify"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (143, "interrupted; nothing was written\n")
    assert list(tmp_path.iterdir()) == []
