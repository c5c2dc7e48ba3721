"""`stepscan serve` on the command line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stepscan.errors import SettingsError
from stepscan.serving.names import named_folders

WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "sklearn", "scipy", "matplotlib"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
from stepscan.__main__ import main

assert not {"fastapi", "uvicorn", "pydantic"} & set(sys.modules)
main()
"""


def test_a_server_without_pytorch(folders: dict[str, Path]) -> None:
    """It says where it listens, answers, logs without contents, and ends by SIGTERM."""
    names = [f"{name}={folder}" for name, folder in folders.items()]
    command = [sys.executable, "-c", WITHOUT_TORCH, "serve", *names, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    ready = json.loads(process.stderr.readline())
    assert (ready["message"], ready["models"]) == ("ready", list(folders))
    port = int(ready["address"].rpartition(":")[2])
    body = b'{"inputs": ["secret words"]}'
    head = b"POST /v1/models/judge/predict HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert b'"label"' in connection.makefile("rb").read()
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read().decode()
    assert process.wait(20) == 0
    messages = [json.loads(line)["message"] for line in rest.splitlines()]
    assert messages == ["request", "ending", "ended"]
    assert "secret" not in rest


ENDED_AT_ONCE = """
import os, signal
from stepscan.serving import serve

listen = serve._Uvicorn.serve

async def told_to_end(self, sockets):
    os.kill(os.getpid(), signal.SIGTERM)  # as by a client that had the first answer
    await listen(self, sockets)

serve._Uvicorn.serve = told_to_end
from stepscan.__main__ import main
main()
"""


def test_a_signal_as_soon_as_it_listens_ends_it_in_order(folders: dict[str, Path]) -> None:
    command = [sys.executable, "-c", ENDED_AT_ONCE, "serve", f"film={folders['judge']}", "--port", "0"]
    done = subprocess.run(command, capture_output=True, timeout=60, text=True)
    messages = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert (done.returncode, messages) == (0, ["ready", "ending", "ended"])


def test_names_of_models(tmp_path: Path) -> None:
    assert named_folders(["a/b", "x=c/d", "e=f=g"]) == {"b": Path("a/b"), "x": Path("c/d"), "e": Path("f=g")}
    for models, message in (
        (["a/b", "c/b"], "expected different names, got 'b' twice; write NAME=c/b"),
        (["a/b c"], "expected a name of letters, digits, '.', '_' and '-', got 'b c'; write NAME=a/b c"),
        (["../x/=y"], "got 'x_=y'|expected a name"),
        ([], "expected at least one model folder"),
    ):
        with pytest.raises(SettingsError) as caught:
            named_folders(models)
        assert any(one in str(caught.value) for one in message.split("|")), caught.value


def test_wrong_usage(run, folders: dict[str, Path], tmp_path: Path) -> None:
    def error(*arguments: object) -> str:
        result = run("serve", *arguments)
        assert result.code in (1, 2)
        return result.words + result.err

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port}: expected an address that is free" in error(folders["judge"], "--port", port)
    assert "expected a model folder" in error(tmp_path) or "config.json" in error(tmp_path)
    assert "streams: expected a whole number of at least 1, got 0" in error(folders["judge"], "--streams", 0)
    assert "--prot. Did you mean '--port'?" in error(folders["judge"], "--prot", 1)
    assert "expected a duration" in error(folders["judge"], "--timeout", "soon")
    (tmp_path / "file").write_text("")
    assert "expected a folder to write to" in error(folders["judge"], "--port", 0, "--state-dir", tmp_path / "file")
