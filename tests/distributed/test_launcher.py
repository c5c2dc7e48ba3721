"""`stepscan train --processes N`: what the command that was typed does, and what is left when a process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from process_trainings import SIZES
from safetensors.numpy import load_file

from stepscan.cli.processes import in_processes
from stepscan.errors import SettingsError
from stepscan.processes import launcher
from stepscan.processes.world import World, read_world

LONG = ["--max-updates", "1000000", "--checkpoint-every", "0s", "--batch-size", "4", "--bptt", "16"]


@pytest.fixture
def start(data):
    """Starts a training; none is left when the test ends."""
    started = []

    def begin(out, *arguments) -> subprocess.Popen:
        command = [sys.executable, "-m", "stepscan", "train", "generate", "--train", str(data["generate"])]
        process = subprocess.Popen(
            [*command, "--out", str(out), *SIZES, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()  # the others end with it
        process.communicate()


def children_of(process) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return sorted(map(int, children.read_text().split()))


def wait_for(condition, seconds=90.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def has_checkpoint(out) -> bool:
    return any(path.suffix != ".tmp" for path in (out / "checkpoints").glob("step-*"))


@pytest.mark.parametrize("ended_by", ["killed process", "Ctrl-C"])
def test_all_end_and_say_once_how_to_go_on(start, trainings, data, tmp_path, ended_by):
    out = tmp_path / "model"
    process = start(out, "--processes", "2", *LONG)
    wait_for(lambda: has_checkpoint(out))
    children = children_of(process)
    assert len(children) == 2
    if ended_by == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        os.kill(children[1], signal.SIGKILL)
    printed, said = process.communicate(timeout=60)
    assert printed == ""
    assert all(map(is_gone, children))
    assert said.count("resume with the same command and --resume") == 1
    assert "Traceback" not in said
    if ended_by == "Ctrl-C":
        assert process.returncode == 130
        assert said.count("interrupted at step") == 1
    else:
        assert process.returncode == 1
        message = f"error: process 1 of 2 (pid {children[1]}) was killed by SIGKILL, and the others were ended"
        assert said.count("error:") == 1
        assert message in said
    few = ["generate", "--train", str(data["generate"]), *SIZES, *LONG[2:], "--max-updates", "1"]
    resumed = trainings.run(out, *few, "--resume", processes=2)
    assert resumed.codes == [0, 0], resumed.said


def test_a_launched_training_is_that_of_one_process(start, trainings, data, tmp_path):
    few = ["--max-updates", "12", "--dropout", "0", "--batch-size", "3", "--bptt", "16"]
    process = start(tmp_path / "2", "--processes", "2", *few, "--json")
    printed, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    assert printed.count('"task": "generate"') == 1
    alone = trainings.weights(tmp_path / "1", "generate", "--train", str(data["generate"]), *SIZES, *few)
    for name, array in load_file(tmp_path / "2" / "model.safetensors").items():
        np.testing.assert_allclose(array, alone[name], rtol=0, atol=1e-6, err_msg=name)


def test_they_end_with_the_launcher(start, tmp_path):
    process = start(tmp_path / "model", "--processes", "2", *LONG)
    wait_for(lambda: has_checkpoint(tmp_path / "model"))
    children = children_of(process)
    process.kill()
    process.communicate()
    wait_for(lambda: all(map(is_gone, children)), seconds=20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--train", "-", "--processes", "2"], "processes: expected 1 for data from standard input, got 2"),
        (["--train", "TEXT", "--processes", "0"], "processes: expected a whole number of at least 1"),
        (["--train", "TEXT", "--precision", "bf16"], "precision: expected 'float32' on a CPU, got 'bf16'"),
    ],
)
def test_refused_in_words(trainings, data, tmp_path, arguments, message):
    arguments = [str(data["generate"]) if word == "TEXT" else word for word in arguments]
    answer = trainings.run(tmp_path / "model", "generate", *SIZES, *arguments)
    assert answer.codes[0] in (1, 2)
    assert message in " ".join(answer.said[0].split())
    assert not (tmp_path / "model").exists()


def test_an_estimator_does_not_start_processes(data, tmp_path):
    from stepscan.estimators.classifier import Classifier

    with pytest.raises(SettingsError, match=r"processes: expected 1, as many as were started, got 2; .*torchrun"):
        Classifier(processes=2).fit(["a", "b"] * 10, ["x", "y"] * 10)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_another_number_of_processes_than_torchrun_started(data, tmp_path, monkeypatch, rank):
    """Each process would train alone, and write to the same folder."""
    for name, value in (("RANK", rank), ("WORLD_SIZE", "2"), ("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    before = sys.stdout, sys.stderr
    for processes in (1, 3):
        message = f"processes: expected 2, as many as were started, got {processes}; omit --processes"
        with pytest.raises(SettingsError, match=message):
            in_processes({"processes": processes}, [data["generate"]], tmp_path / "model")
    assert (sys.stdout, sys.stderr) == before


def test_the_environment_of_torchrun_is_checked():
    assert read_world({}) == World(0, 1, 0, 1, 0)
    environment = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert read_world({**environment, "TORCHELASTIC_RESTART_COUNT": "1"}) == World(3, 4, 1, 2, 1)
    for wrong in ({"RANK": "4"}, {"LOCAL_RANK": "2"}, {"WORLD_SIZE": "x"}, {"RANK": "-1"}):
        with pytest.raises(ValueError, match="expected"):
            read_world({**environment, **wrong})


def test_threads_are_divided_among_processes(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(7)), raising=False)
    threads = [launcher._environments(count, 9)[0]["OMP_NUM_THREADS"] for count in (1, 2, 4, 8)]
    assert threads == ["7", "3", "1", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert launcher._environments(2, 9)[1]["OMP_NUM_THREADS"] == "5"


def test_torchrun_starts_all_again_after_one_was_killed(trainings, data, tmp_path):
    """The real one: the weights are those of a training that nothing disturbed."""
    settings = ["--train", str(data["generate"]), *SIZES, *["--batch-size", "4", "--bptt", "16", "--max-updates", "60"]]
    settings += ["--checkpoint-every", "0s"]
    out = tmp_path / "model"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    process = subprocess.Popen(
        [*torchrun, "-m", "stepscan", "train", "generate", *settings, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wait_for(lambda: has_checkpoint(out))
    os.kill(children_of(process)[1], signal.SIGKILL)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert printed.count("valid_nats") == 1
    undisturbed = trainings.weights(tmp_path / "undisturbed", "generate", *settings, processes=2)
    for name, array in load_file(out / "model.safetensors").items():
        np.testing.assert_array_equal(array, undisturbed[name], err_msg=name)


def test_a_file_that_one_machine_lacks_is_said_by_process_0(trainings, data, tmp_path):
    commands = [["generate", "--train", str(path), *SIZES] for path in (data["generate"], tmp_path / "absent.txt")]
    answer = trainings.run_commands(tmp_path / "model", commands)
    assert answer.codes == [1, 1]
    assert "process 1 of 2" in answer.said[0]
    assert "absent.txt" in answer.said[0]
    assert answer.said[1] == ""
