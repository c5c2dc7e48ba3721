"""Bodies that are arriving are bounded, of all connections together."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
from servers import started

from stepscan.serving.body_budget import BodyBudget
from stepscan.serving.errors import ApiError


def test_a_client_leaves_room_for_others() -> None:
    budget = BodyBudget(100)
    with budget.body_of("greedy") as hold, budget.body_of("other") as other:
        hold(80)
        with pytest.raises(ApiError, match="expected bodies of at most 100 bytes to arrive at once") as raised:
            hold(1)
        assert (raised.value.status, raised.value.retry_after) == (429, 1)
        other(10)
        assert budget.held == 90
    assert budget.held == 0


def test_bodies_of_many_connections_are_bounded(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepscan.serving.served._BODIES", 2)
    head = "POST /v1/models/judge/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\n\r\n"
    with started({"judge": folders["judge"]}, max_body=1) as client:
        budget, sockets = client.served.bodies, []
        assert budget.most == 2 * 2**20
        for _ in range(4):
            sockets.append(socket.create_connection(("127.0.0.1", client.port)))
            sockets[-1].settimeout(10)
            sockets[-1].sendall(head.encode() + b"x" * 600_000)
        deadline = time.monotonic() + 10
        while budget.held < 1_200_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        answers = []
        for one in sockets:
            one.settimeout(0.5)
            try:
                answers.append(one.recv(1000).decode())
            except TimeoutError:
                answers.append("")
        assert sum("429" in answer.partition("\r\n")[0] for answer in answers) >= 1
        assert 1_200_000 <= budget.held <= 0.8 * budget.most
        for one in sockets:
            one.close()
        while budget.held and time.monotonic() < deadline:
            time.sleep(0.01)
        assert budget.held == 0
        assert client.json("/v1/models/judge/predict", {"inputs": ["a good film"]})["predictions"]


def test_messages_that_wait_for_a_text_are_bounded_by_bytes(folders: dict[str, Path]) -> None:
    with (
        started({"writer": folders["writer"]}, max_body=1) as client,
        client.socket("/v1/models/writer/stream", max_size=None) as connection,
    ):
        connection.send(json.dumps({"op": "generate", "length": 100_000}))
        long = json.dumps({"op": "push", "items": "a" * 700_000})
        connection.send(long)
        connection.send(long)
        while "error" not in (message := json.loads(connection.recv(timeout=10))):
            assert message["text"]
        assert message["error"]["message"] == "expected at most 64 messages of 1 MB together to wait, got more"
        connection.send(json.dumps({"op": "stop"}))
