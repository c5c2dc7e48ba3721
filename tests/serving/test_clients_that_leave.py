"""WebSockets whose client goes away are no fault of the server."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from servers import Client, started
from uvicorn.protocols.utils import ClientDisconnected

from stepscan.serving.body_budget import BodyBudget
from stepscan.serving.call import ClientGone
from stepscan.serving.sockets import Socket, Sockets


def wait_for_end(client: Client) -> None:
    """Wait until the server has let go of all WebSockets."""
    deadline = time.monotonic() + 10
    while client.app.sockets.count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert client.app.sockets.count == 0


def test_a_client_that_breaks_off_is_not_logged_as_an_error(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with started({"writer": folders["writer"]}) as client:
        id = client.open("writer").rpartition("/")[2]
        for path, message in (
            ("/v1/models/writer/stream", {"op": "generate", "length": 100_000}),
            ("/v1/models/writer/stream", {"op": "push", "items": "one " * 5000}),
            ("/v1/push", {"sessions": [id], "items": ["one " * 5000]}),
        ):
            with client.socket(path) as connection:
                for _ in range(4):
                    connection.send(json.dumps(message))
                if "generate" in str(message):
                    connection.recv(timeout=10)
                connection.socket.shutdown(socket.SHUT_RDWR)
            wait_for_end(client)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_what_uvicorn_raises_says_that_the_client_has_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Options:
        client_timeout = 1.0

    class Served:
        options = Options()
        bodies = BodyBudget(2**20)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] != "websocket.accept":
            raise ClientDisconnected

    async def run() -> None:
        one = Socket(receive, send, Served(), "")
        with pytest.raises(ClientGone):
            await one.send(b"{}")
        await Sockets(Served()).answer({"path": "/none"}, receive, send, "", None)

    asyncio.run(run())
    assert [record.getMessage() for record in caplog.records if record.name.startswith("stepscan")] == []


def test_files_of_sessions_are_of_one_user(folders: dict[str, Path], tmp_path: Path) -> None:
    with started({"judge": folders["judge"]}, state_dir=str(tmp_path)) as client:
        client.open("judge")
        [file] = tmp_path.glob("*.sessions")
        assert file.stat().st_mode & 0o777 == 0o600
