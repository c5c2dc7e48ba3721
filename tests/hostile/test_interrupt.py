"""The command line as a process of its own: errors, interrupts and readers that go away."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stepscan

COMMAND = [sys.executable, "-m", "stepscan"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(stepscan.__file__).parents[1])}
TINY = ["--hidden-size", "4", "--embedding-size", "4", "--epochs", "1000000", "--patience", "1000000"]


def test_an_error(workplace):
    command = [*COMMAND, "train", "classify", "--train", "revews.csv", "--out", "out"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    expected = "error: revews.csv: no such file. Did you mean 'reviews.csv'?\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)
    assert not (workplace / "out").exists()


@pytest.mark.parametrize("module", ["stepscan.cli", "stepscan.cli.options", "typer", "stepscan.runtime"])
def test_interrupted_while_modules_are_imported(module, models):
    code = f"""
import sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
sys.argv = ["stepscan", "predict", {str(models["classify"])!r}, "a film"]
from stepscan.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("interrupted")
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_instruction_set_that_there_is_not(models):
    for command in (["predict", str(models["classify"]), "a film"], ["train", "tag", "--train", "x", "--out", "y"]):
        environment = {**ENVIRONMENT, "STEPSCAN_ISA": "foo"}
        done = subprocess.run([*COMMAND, *command], capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Traceback" not in done.stderr
    environment = {**ENVIRONMENT, "STEPSCAN_ISA": "foo"}
    command = [*COMMAND, "predict", str(models["tag"]), "ab"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stderr.startswith("error: expected STEPSCAN_ISA to be an instruction set of this processor (")
    assert done.stderr.endswith("plain), got 'foo'; set it to one of these, or unset it\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_training(workplace, number):
    command = [*COMMAND, "train", "classify", "--train", "reviews.csv", "--out", "out", *TINY]
    before = sorted(os.listdir(workplace))
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        # A shell that runs these tests in the background has its children ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            assert any("epoch  2" in line for line in lines)
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out) == (128 + number, "")
    last = err.splitlines()[-1]
    said = re.fullmatch(
        r"interrupted at step (\d+); all up to step (\d+) is saved: resume with the same command and --resume", last
    )
    assert said, err
    assert said[1] == said[2]
    assert "Traceback" not in err
    assert sorted(os.listdir(workplace)) == sorted([*before, "out"])
    assert os.listdir(workplace / "out") == ["checkpoints"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 1
    assert "out holds an interrupted training: resume it (--resume), or start again" in done.stderr


def start(arguments):
    """A training, once it has evaluated twice."""
    command = [*COMMAND, "train", "classify", "--train", "reviews.csv", "--out", "out", *TINY, *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert any("epoch  2" in line for line in iter(process.stderr.readline, ""))
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_signals_say_what_is_kept(workplace, number):
    """Before the first is answered, the second comes: at once, and still no word of "nothing was written"."""
    process = start(["--checkpoint-every", "1h"])
    process.send_signal(number)
    process.send_signal(number)
    time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    said = r"interrupted( .*)?; .* (is|are) saved: resume with the same command and --resume"
    assert re.fullmatch(said, err.splitlines()[-1]), err
    assert "nothing was written" not in err
    assert os.listdir(workplace / "out") == ["checkpoints"]
    assert ".out.lock" not in os.listdir(workplace)


def test_a_second_training_into_the_same_folder(workplace):
    """Refused at once, while the first one goes on; killed, the first one's lock holds nobody up."""
    first = start([])
    second = [*COMMAND, "train", "classify", "--train", "reviews.csv", "--out", "out", *TINY[:5], "1", "--quiet"]
    for more in ([], ["--resume"], ["--overwrite"]):
        done = subprocess.run([*second, *more], capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 1
        assert f"error: out is being written by process {first.pid} (training since" in done.stderr
    compress = [*COMMAND, "compress", "model", "--out", "out", "--overwrite"]
    shutil.copytree(Path(__file__).parents[1] / "golden" / "0.1.0" / "classify", workplace / "model")
    done = subprocess.run(compress, capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, "being written by process" in done.stderr) == (1, True)
    assert first.poll() is None
    first.kill()
    first.communicate()
    done = subprocess.run([*second, "--overwrite"], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert ".out.lock" not in os.listdir(workplace)


def test_a_reader_that_goes_away(models, workplace):
    (workplace / "many.txt").write_text("a good film\n" * 20_000)
    command = [*COMMAND, "predict", str(models["classify"]), "--input", "many.txt"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().endswith("a good film\n")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
