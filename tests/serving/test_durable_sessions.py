"""Sessions of --state-dir go on to the same bits after kill −9, and after SIGTERM."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from servers import started

from stepscan.errors import StepscanError


@contextmanager
def process(folders: dict[str, Path], *options: str) -> Iterator[tuple[subprocess.Popen[str], httpx2.Client]]:
    """A server in a process of its own."""
    names = [f"{name}={folder}" for name, folder in folders.items()]
    command = [sys.executable, "-m", "stepscan", "serve", *names, "--port", "0", *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if '"ready"' in line:
                break
        address = re.search(r"http://[0-9.:]+", line)
        assert address, line
        threading.Thread(target=server.stderr.read, daemon=True).start()
        with httpx2.Client(base_url=address[0], timeout=20) as client:
            yield server, client
    finally:
        server.kill()
        server.wait()


def test_kill_9_loses_nothing_that_was_acknowledged(
    folders: dict[str, Path], models: dict[str, Any], tmp_path: Path
) -> None:
    served = {name: folders[name] for name in ("writer", "steps")}
    options = "--state-dir", str(tmp_path / "states")
    draw, ids, counts = random.Random(1), {}, {}
    for _ in range(4):
        with process(served, *options) as (server, client):
            for name in ("writer", "steps"):
                if name not in ids:
                    opened = client.post(f"/v1/models/{name}/sessions").json()
                    assert opened["durable"]
                    ids[name], counts[name] = opened["id"], 0
            stop, killer = threading.Event(), threading.Timer(0.15 + 0.2 * draw.random(), server.kill)
            killer.start()
            while not stop.is_set():
                for name, id in ids.items():
                    number = counts[name]
                    item = "one two "[number % 8] if name == "writer" else [number % 5, 1]
                    fields = {"items": item, "position": number}
                    try:
                        answer = client.post(f"/v1/sessions/{id}/push", json=fields)
                    except httpx2.TransportError:
                        stop.set()
                        break
                    if answer.status_code == 409:  # made, but the answer was lost with the process before
                        assert f"expected {number + 1}" in answer.text
                    else:
                        assert answer.json()["position"] == number + 1, answer.text
                    counts[name] += 1
            killer.join()
    assert min(counts.values()) > 3
    with process(served, *options) as (server, client):
        for name, id in ids.items():
            position = client.get(f"/v1/sessions/{id}").json()["position"]
            assert position in (counts[name], counts[name] + 1)
            session = models[name].session()
            for number in range(position):
                session.push("one two "[number % 8] if name == "writer" else [[number % 5, 1]])
            assert client.get(f"/v1/sessions/{id}/state").content == session.state()


def test_sigterm_finishes_what_runs_and_the_next_process_goes_on(
    folders: dict[str, Path], models: dict[str, Any], tmp_path: Path
) -> None:
    options = "--state-dir", str(tmp_path / "states"), "--shutdown-timeout", "20"
    session = models["writer"].session()
    session.push("one")
    expected = session.generate(30_000, seed=1)
    with process({"writer": folders["writer"]}, *options) as (server, client):
        path = "/v1/sessions/" + client.post("/v1/models/writer/sessions").json()["id"]
        client.post(f"{path}/push", json={"items": "one"})
        text = ""
        with client.stream("POST", f"{path}/generate", json={"length": 30_000, "seed": 1}) as answer:
            for line in answer.iter_lines():
                event = json.loads(line[6:]) if line else {}
                if not text:
                    server.send_signal(signal.SIGTERM)
                text += event.get("text", "")
        assert text == expected
        assert event == {} or event["done"]
        assert server.wait(20) == 0
    with process({"writer": folders["writer"]}, *options) as (server, client):
        assert client.get(path).json()["position"] == 2
        assert client.get(f"{path}/state").content == session.state()
        answer = client.post(f"{path}/push", json={"items": " two", "probabilities": True})
        assert answer.json()["result"]["probabilities"] == session.push(" two").tolist()


def test_sighup_reads_the_models_again(folders: dict[str, Path], models: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(folders["writer"], tmp_path / "model")
    with process({"model": tmp_path / "model"}) as (server, client):
        first = client.get("/v1/models/model").json()["fingerprint"]
        assert first == models["writer"].fingerprint.hex()
        shutil.rmtree(tmp_path / "model")
        shutil.copytree(folders["words"], tmp_path / "model")
        server.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while client.get("/v1/models/model").json()["fingerprint"] == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert client.get("/v1/models/model").json()["fingerprint"] == models["words"].fingerprint.hex()


def test_a_closed_session_stays_closed_and_a_fork_is_durable(folders: dict[str, Path], tmp_path: Path) -> None:
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        path, closed, brief = client.open("judge"), client.open("judge"), client.open("judge", durable=False)
        client.json(f"{path}/push", {"items": "not a"})
        fork = "/v1/sessions/" + client.json(f"{path}/fork", status=201)["id"]
        assert client.http.delete(closed).status_code == 204
        state = client.get(f"{fork}/state").content
        assert not client.get(brief).json()["durable"]
        second = started({"judge": folders["judge"]}, state_dir=str(tmp_path))
        with pytest.raises(StepscanError, match="expected a folder of this server alone, got one in use"), second:
            pass
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        assert client.get(f"{path}/state").content == client.get(f"{fork}/state").content == state
        assert client.get(closed).status_code == client.get(brief).status_code == 404


def test_every_beginning_of_a_file_is_read(folders: dict[str, Path], tmp_path: Path) -> None:
    """As a process that was killed while it wrote leaves it; what follows is written after it."""
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        path, states = client.open("judge"), []
        for word in ("not", "a", "good", "film"):
            client.json(f"{path}/push", {"items": word})
            states.append(client.get(f"{path}/state").content)
    [file] = tmp_path.glob("*.sessions")
    content = file.read_bytes()
    entry = len(content) // 5
    for cut in (0, 5, 19, 20, 30, entry * 2 + 3, entry * 4 + 1, len(content) - 1):
        file.write_bytes(content[:cut])
        with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
            answer = client.get(f"{path}/state")
            assert answer.status_code == 404 if cut < entry else answer.content in [*states, client_start(client)]
            other = client.open("judge")
        with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
            assert client.get(other).status_code == 200
    file.write_bytes(b"something else")
    serving = started({"judge": folders["judge"]}, state_dir=str(tmp_path))
    with pytest.raises(StepscanError, match="expected sessions that stepscan serve wrote, got another file"), serving:
        pass


def client_start(client: Any) -> bytes:
    """The state of a session that has read nothing."""
    return client.get(client.open("judge", durable=False) + "/state").content


def test_a_disk_that_is_full_is_said(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        path = client.open("judge")

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", full)
            status, kind, message = client.refused(f"{path}/push", {"items": "not a"})
            assert (status, kind) == (503, "not_durable")
            assert message.endswith("No space left on device")
        assert client.json(f"{path}/push", {"items": "film"})["position"] == 2
        state = client.get(f"{path}/state").content
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        assert client.get(f"{path}/state").content == state


def test_old_entries_are_dropped(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepscan.serving.journal._COMPACT", 10_000)
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        paths = [client.open("judge") for _ in range(2)]
        for _ in range(60):
            client.json(f"{paths[0]}/push", {"items": "a film"})
        states = [client.get(f"{path}/state").content for path in paths]
    [file] = tmp_path.glob("*.sessions")
    assert file.stat().st_size < 30_000
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        assert [client.get(f"{path}/state").content for path in paths] == states
