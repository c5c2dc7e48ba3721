"""deploy/: the container's and the unit's very commands serve a model, report their health, and end when told."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "golden" / "0.1.0" / "classify"
UNIT = ROOT / "deploy" / "stepscan-serve.service"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile with what follows them, continued lines joined."""
    text = (ROOT / "deploy" / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def last(name: str) -> str:
    return [rest for word, rest in instructions() if word == name][-1]


def unit() -> dict[str, list[str]]:
    """The settings of the unit; one that occurs several times has several values."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def adapted(command: list[str], port: int, places: dict[str, str]) -> list[str]:
    """The command as it runs here: this environment's stepscan, a free port of loopback, other paths."""
    places = {"stepscan": sys.executable + " -m stepscan", "0.0.0.0": "127.0.0.1", "8000": str(port), **places}
    words = [places.get(word, word) for word in command]
    return [part for word in words for part in (word.split() if word.startswith(sys.executable) else [word])]


@contextmanager
def running(command: list[str], port: int):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _ in range(1200):
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def fetched(port: int, path: str, token: str = "") -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)) as got:
            return got.status, got.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def health(port: int) -> int:
    """The status of the container's check of health, with this port."""
    check = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert check[0] == "python"
    command = [sys.executable, *(word.replace(":8000", f":{port}") for word in check[1:])]
    return subprocess.run(command, capture_output=True, timeout=60).returncode


def test_the_containers_command_serves_reports_health_and_ends(tmp_path, port):
    command = [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))]
    places = {"/state": str(tmp_path / "state"), "/models/model": f"model={MODEL}"}
    assert health(port) != 0  # nothing listens
    with running(adapted(command, port, places), port) as server:
        assert health(port) == 0
        assert [model["id"] for model in json.loads(fetched(port, "/v1/models")[1])["data"]] == ["model"]
        assert b"<title>Stepscan</title>" in fetched(port, "/")[1]
        server.send_signal(getattr(signal, last("STOPSIGNAL")))
        assert server.wait(40) == 0
    assert health(port) != 0


def test_the_units_command_serves_with_a_token_and_ends(tmp_path, port):
    (tmp_path / "tokens").write_text("a-token-of-the-test\n")
    line = unit()["ExecStart"][0].replace("%d", str(tmp_path)).replace("%S", str(tmp_path))
    line = line.replace("$STEPSCAN_OPTIONS", "").replace("$STEPSCAN_MODELS", f"model={MODEL}")
    assert not re.search(r"[%$]", line)
    command = [word.replace("/opt/stepscan/bin/", "") for word in shlex.split(line)]
    with running(adapted(command, port, {}), port) as server:
        assert fetched(port, "/v1/models")[0] == 401
        assert fetched(port, "/v1/models", "a-token-of-the-test")[0] == 200
        status, page = fetched(port, "/")  # which asks for the token
        assert (status, b"<title>Stepscan</title>" in page) == (200, True)
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait(40) == 0


def test_the_image_has_two_stages_and_no_rights():
    stages = [rest for word, rest in instructions() if word == "FROM"]
    assert len(stages) == 2
    assert {stage.split()[0] for stage in stages} == {"python:3.12-slim"}
    words = [word for word, _ in instructions()]
    assert words.index("USER") > len(words) - 1 - words[::-1].index("FROM")
    user = last("USER").split(":")[0]
    assert user.isdigit()
    assert int(user) > 0
    assert f"--uid {user}" in " ".join(rest for word, rest in instructions() if word == "RUN")


def test_what_the_image_copies_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[0] == "*"
    for word, rest in instructions():
        if word == "COPY":
            for name in rest.split()[:-1]:
                assert (ROOT / name).exists(), name
                assert f"!{name}" in ignored, name


def test_the_unit_keeps_to_its_place():
    found = {name: values[-1] for name, values in unit().items()}
    for name in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectHome", "MemoryDenyWriteExecute"):
        assert found[name] == "yes", name
    assert (found["ProtectSystem"], found["CapabilityBoundingSet"], found["UMask"]) == ("strict", "", "0077")
    assert int(found["TimeoutStopSec"]) > 30  # --shutdown-timeout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_no_fault_in_the_unit(tmp_path):
    program = tmp_path / "stepscan"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace("/opt/stepscan/bin/stepscan", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    rated = ["systemd-analyze", "security", "--offline=true", "--threshold=15", str(copy)]
    done = subprocess.run(rated, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout  # an exposure of at most 1.5 of 10


def test_what_the_readme_names_is_so():
    text = (ROOT / "deploy" / "README.md").read_text("utf-8")
    for name in re.findall(r"(?:deploy|docs|tests)/[\w./-]+\w", text):
        assert (ROOT / name).exists(), name
    assert "listens at every address" in text
    assert "user 10001" in text
