"""No kill, full disk or failing call loses what was promised: training goes on, to the same weights to the bit."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from conftest import result

EPOCHS = 3


@pytest.fixture(scope="module")
def short(trainings, tmp_path_factory):
    """One epoch, never interrupted: its answer, and its result."""
    out = tmp_path_factory.mktemp("short") / "model"
    answer = trainings.run(out)
    assert answer["code"] == 0, answer["said"]
    return answer, result(out)


def test_killed_at_random_moments(trainings, tmp_path):
    whole = trainings.run(tmp_path / "whole", epochs=EPOCHS)
    assert whole["code"] == 0, whole["said"]
    moments = random.Random(0)
    stages = []
    for number in range(50):
        out = tmp_path / str(number) / "model"
        out.parent.mkdir()
        killed = trainings.run(out, epochs=EPOCHS, kill_after=moments.uniform(0, whole["seconds"]))
        stages.append("done" if (out / "config.json").exists() else "begun" if out.exists() else "nothing")
        if not (out / "config.json").exists():
            assert killed["code"] == -9
            resumed = trainings.run(out, "--resume", epochs=EPOCHS)
            assert resumed["code"] == 0, resumed["said"]
        assert result(out) == result(tmp_path / "whole")
    assert stages.count("begun") >= 10


def test_killed_at_every_call_that_changes_a_file(trainings, short, tmp_path):
    answer, expected = short
    assert answer["calls"] > 50
    for number in range(1, answer["calls"] + 1):
        out = tmp_path / str(number) / "model"
        out.parent.mkdir()
        killed = trainings.run(out, at=number, how="kill")
        assert killed["code"] == -9, killed["said"]
        resumed = trainings.run(out, "--resume")
        ended = resumed["code"] == 1 and "has finished" in resumed["said"]
        assert resumed["code"] == 0 or ended, resumed["said"]
        assert result(out) == expected
        assert sorted(path.name for path in out.parent.iterdir()) == ["model"]


def test_killed_while_a_model_is_replaced(trainings, short, tmp_path):
    """At every call there is the old model or the new one."""
    answer, expected = short
    old = tmp_path / "old"
    assert trainings.run(old, "--seed", "1")["code"] == 0
    for number in range(answer["calls"] - 40, answer["calls"] + 1):
        out = tmp_path / str(number) / "model"
        shutil.copytree(old, out)
        trainings.run(out, "--overwrite", at=number, how="kill")
        resumed = trainings.run(out, "--resume")
        ended = resumed["code"] == 1 and "has finished" in resumed["said"]
        assert resumed["code"] == 0 or ended, resumed["said"]
        assert result(out) == expected


@pytest.mark.parametrize("every", [1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 17, 23, 31, 47, 61, 89])
def test_every_kth_call_fails(trainings, short, tmp_path, every):
    _, expected = short
    out = tmp_path / "model"
    failed = trainings.run(out, at=every, how="fail")
    assert failed["code"] in (0, 1)
    assert "Traceback" not in failed["said"]
    if failed["code"] == 1:
        assert "No space left on device" in failed["said"]
        resumed = trainings.run(out, "--resume")
        assert resumed["code"] == 0, resumed["said"]
    assert result(out) == expected


def test_disk_full(trainings, short, tmp_path):
    _, expected = short
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        (disk / "filler").write_bytes(bytes(64 * 1024))
        failed = trainings.run(disk / "model")
        assert failed["code"] == 1
        assert "No space left on device" in failed["said"]
        assert "Traceback" not in failed["said"]
        (disk / "filler").unlink()
        resumed = trainings.run(disk / "model", "--resume")
        assert resumed["code"] == 0, resumed["said"]
        assert result(disk / "model") == expected
    finally:
        subprocess.run(["umount", disk], check=True)
