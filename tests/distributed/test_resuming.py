"""Checkpoints are of the training, not of its processes; a process that dies ends all, and loses nothing."""

from __future__ import annotations

import os
import random
import shutil
import signal

import numpy as np
import pytest
from process_trainings import SIZES, rows_of
from safetensors.numpy import load_file

KILLS = int(os.environ.get("KILLS", "2"))  # of each process
LAST = 60  # of the 80 steps, the last after which a process is killed: then it has not ended before


def generate(data, *more, updates=40):
    """A training that carries its state from window to window, with accumulated batches and a moving average."""
    settings = "--batch-size 3 --bptt 16 --gradient-accumulation-steps 2 --ema-decay 0.9 --checkpoint-every 0s"
    return [
        "generate",
        "--train",
        str(data["generate"]),
        *SIZES,
        *settings.split(),
        "--max-updates",
        str(updates),
        *more,
    ]


@pytest.fixture(scope="module")
def undisturbed(trainings, data, tmp_path_factory):
    """The folder of a training on two processes, with dropout."""
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    answer = trainings.run(out, *generate(data, "--dropout", "0.3"), processes=2)
    assert answer.codes == [0, 0], answer.said
    return out


def same_bits(first, second):
    a, b = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    return all(np.array_equal(a[name], b[name]) for name in a) and rows_of(first) == rows_of(second)


@pytest.mark.parametrize("killed", [0, 1])
def test_killed_and_resumed_the_weights_are_the_same(trainings, data, undisturbed, tmp_path, killed):
    moments, arguments = random.Random(killed), generate(data, "--dropout", "0.3")
    for number in range(KILLS):
        out = tmp_path / str(number)
        moment = (moments.randrange(1, LAST), moments.uniform(0, 0.01))
        answer = trainings.run(out, *arguments, processes=2, signals=[(killed, signal.SIGKILL, *moment)])
        assert answer.codes[killed] == -signal.SIGKILL
        assert answer.codes[1 - killed] == 1
        if killed == 1:  # process 0 says it, once
            assert "one of the 2 processes ended without a message" in answer.said[0]
        assert answer.said[1] == ""
        resumed = trainings.run(out, *arguments, "--resume", processes=2)
        assert resumed.codes == [0, 0], resumed.said
        assert same_bits(out, undisturbed)
        assert not (out / "checkpoints").exists()


def test_started_again_by_torchrun_it_goes_on(trainings, data, undisturbed, tmp_path):
    """The same command, without --resume."""
    out, arguments = tmp_path / "model", generate(data, "--dropout", "0.3")
    killed = trainings.run(out, *arguments, processes=2, signals=[(1, signal.SIGKILL, 40, 0)])
    assert killed.codes == [1, -signal.SIGKILL]
    assert trainings.run(out, *arguments, processes=2).codes == [1, 1]  # an interrupted training is not overwritten
    assert trainings.run(out, *arguments, processes=2, restarts=1).codes == [0, 0]
    assert same_bits(out, undisturbed)


@pytest.mark.parametrize("first", [0, 1])
def test_interrupted_all_end_after_the_same_step(trainings, data, undisturbed, tmp_path, first):
    """Ctrl-C, whichever process gets it."""
    out, arguments = tmp_path / "model", generate(data, "--dropout", "0.3")
    answer = trainings.run(out, *arguments, processes=2, signals=[(first, signal.SIGINT, 40, 0)])
    assert answer.codes == [130, 130], answer.said
    assert answer.said[0].count("is saved: resume with the same command and --resume") == 1
    assert answer.said[1] == ""
    assert trainings.run(out, *arguments, "--resume", processes=2).codes == [0, 0]
    assert same_bits(out, undisturbed)


def test_begun_on_two_resumed_on_one_or_three(trainings, data, tmp_path):
    arguments = generate(data, "--dropout", "0")
    alone = trainings.weights(tmp_path / "alone", *arguments)
    out = tmp_path / "begun"
    begun = trainings.run(out, *arguments, processes=2, signals=[(0, signal.SIGTERM, 20, 0)])
    assert begun.codes == [143, 143], begun.said
    for processes in (1, 3):
        copy = tmp_path / str(processes)
        shutil.copytree(out, copy)
        answer = trainings.run(copy, *arguments, "--resume", processes=processes)
        assert answer.codes == [0] * processes, answer.said
        assert f"resuming with processes {processes} (before: 2)" in answer.said[0]
        for name, array in load_file(copy / "model.safetensors").items():
            np.testing.assert_allclose(array, alone[name], rtol=0, atol=1e-6, err_msg=name)


def test_different_data_or_settings_are_an_error_said_once(trainings, data, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(data["generate"].read_text().replace("7", "8"))
    commands = [generate(data), generate({"generate": other})]
    answer = trainings.run_commands(tmp_path / "model", commands)
    assert answer.codes == [1, 1]
    assert "all processes need the same data and settings, but data is" in answer.said[0]
    assert answer.said[1] == ""
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("rows", [slice(None, None, -1), slice(7)], ids=["another order", "fewer"])
def test_different_validation_data_are_an_error_said_once(trainings, data, tmp_path, rows):
    header, *lines = data["classify"].read_text().splitlines()
    valid = [tmp_path / "0.csv", tmp_path / "1.csv"]
    for path, own in zip(valid, (lines, lines[rows]), strict=True):
        path.write_text("\n".join([header, *own, ""]))
    few = ["classify", "--train", str(data["classify"]), *SIZES, "--max-updates", "4"]
    answer = trainings.run_commands(tmp_path / "model", [[*few, "--valid", str(path)] for path in valid])
    assert answer.codes == [1, 1]
    assert "all processes need the same data and settings, but validation data is" in answer.said[0]
    assert answer.said[1] == ""
    assert not (tmp_path / "model").exists()


def test_an_error_in_one_process_is_said_by_the_first(trainings, data, tmp_path):
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"\xff\xfe\xfa")
    answer = trainings.run_commands(tmp_path / "model", [generate(data), generate({"generate": broken})])
    assert answer.codes == [1, 1]
    assert "process 1 of 2" in answer.said[0]
    assert "broken.txt" in answer.said[0]
    assert answer.said[1] == ""


def test_an_error_in_all_processes_is_said_once(trainings, data, tmp_path):
    answer = trainings.run(tmp_path / "model", *generate(data, "--batch-size", "100000"), processes=2)
    assert answer.codes == [1, 1]
    assert answer.said[0].count("too few for 100000 parallel streams") == 1
    assert answer.said[1] == ""
