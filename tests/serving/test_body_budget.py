"""Bodies that are arriving are bounded, of all connections together."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from servers import started
from websockets.exceptions import ConnectionClosed

from stepscan.serving.body_budget import BodyBudget
from stepscan.serving.errors import ApiError


def test_a_client_leaves_room_for_others() -> None:
    budget = BodyBudget(100)
    with budget.body_of("greedy") as hold, budget.body_of("other") as other:
        hold(80)
        with pytest.raises(
            ApiError, match="expected bodies and messages of at most 100 bytes to wait at once"
        ) as raised:
            hold(1)
        assert (raised.value.status, raised.value.retry_after) == (429, 1)
        hold(0)  # takes no room
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


def began(size: int) -> bytes:
    """The beginning of a message of 1,000,000 letters."""
    return b"\x81\xff" + (1_000_000).to_bytes(8, "big") + bytes(4) + b" " * size


def until_closed(connection: Any) -> tuple[list[Any], int | None]:
    """The messages until the server closes, and its close code."""
    messages = []
    try:
        while True:
            messages.append(json.loads(connection.recv(timeout=20)))
    except ConnectionClosed as closed:
        return messages, closed.rcvd and closed.rcvd.code


def test_messages_of_many_sockets_are_bounded(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What has arrived of messages counts over all connections; the one that there is no room for is told so."""
    monkeypatch.setattr("stepscan.serving.served._BODIES", 2)
    with started({"writer": folders["writer"]}, max_body=1) as client:
        budget, deadline = client.served.bodies, time.monotonic() + 20
        with client.socket("/v1/models/writer/stream") as first, client.socket("/v1/push") as second:
            first.socket.sendall(began(900_000))
            while budget.held < 900_000 and time.monotonic() < deadline:
                time.sleep(0.01)
            second.socket.sendall(began(900_000))
            [refused], code = until_closed(second)
            assert (refused["error"]["type"], code) == ("busy", 1013)
            assert 900_000 <= budget.held <= 0.8 * budget.most
            first.socket.sendall(b" " * 100_000)
            assert json.loads(first.recv(timeout=20))["error"]["type"] == "bad_json"
        while budget.held and time.monotonic() < deadline:
            time.sleep(0.01)
        assert budget.held == 0
        with client.socket("/v1/models/writer/stream") as other:
            other.send(json.dumps({"op": "push", "items": "one"}))
            assert json.loads(other.recv(timeout=20))["position"] == 1


def test_small_parts_of_a_message_count_with_what_they_take(folders: dict[str, Path]) -> None:
    with started({"writer": folders["writer"]}, max_body=1) as client, client.socket("/v1/push") as connection:
        budget, part = client.served.bodies, b"\x00\x81" + bytes(4) + b" "
        connection.socket.sendall(b"\x01\x81" + bytes(4) + b"[" + part * 9_999)
        deadline = time.monotonic() + 20
        while budget.held < 640_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert 640_000 <= budget.held < 720_000
        connection.socket.sendall(b"\x80\x81" + bytes(4) + b"]")
        assert json.loads(connection.recv(timeout=20))["error"]["type"] == "bad_json"
        assert budget.held == 0


def test_messages_that_wait_for_an_answer_are_bounded(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepscan.serving.served._BODIES", 2)
    with started({"writer": folders["writer"]}, max_body=1) as client:
        id, deadline, go_on = client.open("writer").rpartition("/")[2], time.monotonic() + 20, threading.Event()
        client.served.engines["writer"].stepper.submit(go_on.wait, 20)
        with client.socket("/v1/push") as connection:
            connection.send(json.dumps({"sessions": [id], "items": ["a"]}))
            for _ in range(3):
                connection.send("x" * 600_000)
            [refused], code = until_closed(connection)
            assert (refused["error"]["type"], code) == ("busy", 1013)
            assert client.served.bodies.held >= 1_200_000
        go_on.set()
        while client.served.bodies.held and time.monotonic() < deadline:
            time.sleep(0.01)
        assert client.served.bodies.held == 0
        assert client.get(f"/v1/sessions/{id}").json()["position"] == 1


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
