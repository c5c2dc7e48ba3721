"""WebSockets: signals in blocks, tokens, texts, and pushes of many sessions."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servers import Client, started
from websockets.exceptions import ConnectionClosed

STEPS = np.random.default_rng(0).normal(3, 2, (3000, 2)).astype(np.float32)


def ask(socket: Any, **fields: Any) -> Any:
    socket.send(json.dumps(fields))
    return json.loads(socket.recv(timeout=10))


def floats(socket: Any, block: np.ndarray) -> np.ndarray:
    socket.send(block.astype("<f4").tobytes())
    return np.frombuffer(socket.recv(timeout=10), "<f4")


def test_blocks_of_signals(server: Client, models: dict[str, Any]) -> None:
    session = models["steps"].session()
    with server.socket("/v1/models/steps/stream") as socket:
        for block in (STEPS[:1], STEPS[1:7], STEPS[:0], STEPS):
            expected = session.push_block(block, np.empty((len(block), 2), np.float32))
            assert floats(socket, block).reshape(-1, 2).tolist() == expected.tolist()
        assert ask(socket, op="push", items=STEPS[:2].tolist())["result"] == session.push(STEPS[:2])
        assert ask(socket, op="session")["position"] == 5
    session = models["rising"].session()
    with server.socket("/v1/models/rising/stream") as socket:
        for end in (1, 5, 2000):
            record = session.push(STEPS[:end])
            answer = floats(socket, STEPS[:end])
            assert answer.tolist() == models["rising"].predict_proba([np.concatenate(parts(end))])[0].tolist()
            assert float(answer.max()) == pytest.approx(record["probability"])
    session = models["waves"].session()
    with server.socket("/v1/models/waves/stream") as socket:
        assert len(floats(socket, STEPS[:2, :1])) == 0
        expected = [session.push(STEPS[:2, :1]), session.push(STEPS[:5, :1])][1]
        assert floats(socket, STEPS[:5, :1]).tolist() == np.stack(expected).astype("<f4").ravel().tolist()
        assert ask(socket, op="forecast", length=3)["forecast"]["median"] == session.forecast(3).median.tolist()


def parts(end: int) -> list[np.ndarray]:
    """What was pushed up to the block of so many steps."""
    ends = [1, 5, 2000]
    return [STEPS[:one] for one in ends[: ends.index(end) + 1]]


def test_tokens_and_texts(server: Client, models: dict[str, Any]) -> None:
    session = models["writer"].session()
    with server.socket("/v1/models/writer/stream") as socket:
        expected = session.push("one t")
        answer = ask(socket, op="push", items="one t", probabilities=True)
        assert answer == {"position": 1, "result": {"probabilities": expected.tolist()}}
        socket.send(json.dumps({"op": "generate", "length": 30, "seed": 1}))
        text = ""
        while not (event := json.loads(socket.recv(timeout=10))).get("done"):
            text += event["text"]
        assert text == session.generate(30, seed=1)
        answer = ask(socket, op="generate", length=5, seed=2, stream=False)
        assert answer["text"] == session.generate(5, seed=2)
        assert ask(socket, op="rollback", position=1)["position"] == 1
    with server.socket("/v1/models/mirror/stream?source=abb") as socket:
        result = ask(socket, op="push", items="b")["result"]
        assert len(result["attention"]) == 4


def test_a_text_is_stopped(server: Client) -> None:
    texts = server.served.engines["writer"].stepper.texts
    with server.socket("/v1/models/writer/stream") as socket:
        socket.send(json.dumps({"op": "generate", "length": 100_000}))
        assert json.loads(socket.recv(timeout=10))["text"]
        socket.send(json.dumps({"op": "push", "items": "one"}))  # waits
        socket.send(json.dumps({"op": "stop"}))
        while "stopped" not in (message := json.loads(socket.recv(timeout=10))):
            assert message["text"]
        assert message == {"stopped": True}
        assert json.loads(socket.recv(timeout=10))["position"] == 1
        assert ask(socket, op="stop") == {"stopped": False}
    assert texts.count == 0


def test_a_session_ends_with_its_connection_or_stays(server: Client) -> None:
    with server.socket("/v1/models/judge/stream") as socket:
        id = ask(socket, op="session")["id"]
        assert id in server.served.records
    path = server.open("judge")
    with server.socket(f"/v1/models/judge/stream?session={path.rpartition('/')[2]}") as socket:
        assert ask(socket, op="push", items="a good film")["position"] == 1
    assert server.get(path).json()["position"] == 1
    deadline = time.monotonic() + 5
    while id in server.served.records and time.monotonic() < deadline:
        time.sleep(0.01)
    assert id not in server.served.records


def test_many_sessions_by_one_socket(server: Client, models: dict[str, Any]) -> None:
    ids = [server.open("steps").rpartition("/")[2] for _ in range(20)]
    sessions = [models["steps"].session() for _ in ids]
    with server.socket("/v1/push") as socket:
        for turn in range(3):
            items = STEPS[turn : turn + 20].tolist()
            answers = ask(socket, sessions=ids, items=items)["results"]
            expected = [one.push([item]) for one, item in zip(sessions, items, strict=True)]
            assert answers == [{"position": turn + 1, "result": tags} for tags in expected]
        assert ask(socket, sessions=ids)["error"]["message"] == "items: expected a value, got none"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("{", "body: expected JSON"),
        ("[]", "op: expected one of push"),
        ('{"op": "fly"}', "op: expected one of push"),
        ('{"op": "push"}', "items: expected a value, got none"),
        ('{"op": "push", "items": "a", "more": 1}', "unknown field 'more'"),
        ('{"op": "push", "items": [[1, 2, 3]]}', "items: expected a step [2]"),
        ('{"op": "push", "items": [[NaN, 1]]}', "body: expected JSON"),
        ('{"op": "generate"}', "model: expected one of the task"),
        ('{"op": "rollback", "position": 7}', "position: expected one of the states"),
        (b"123", "block: expected float32 [T, 2], a multiple of 8 bytes, got 3"),
        (np.array([[np.nan, 1]], "<f4").tobytes(), "the block: expected finite numbers, got NaN"),
    ],
)
def test_what_is_refused_leaves_the_connection_open(server: Client, message: str | bytes, expected: str) -> None:
    with server.socket("/v1/models/steps/stream") as socket:
        socket.send(message)
        assert json.loads(socket.recv(timeout=10))["error"]["message"].startswith(expected)
        assert ask(socket, op="session")["position"] == 0


def test_what_ends_the_connection(server: Client, folders: dict[str, Path]) -> None:
    for path in ("/v1/models/nobody/stream", "/v1/models/both-ways/stream", "/v1/push/x", "/v1/models/mirror/stream"):
        with server.socket(path) as socket:
            assert "error" in json.loads(socket.recv(timeout=10))
            with pytest.raises(ConnectionClosed):
                socket.recv(timeout=10)
            assert socket.close_code == 1008
    with started({"judge": folders["judge"]}, max_body=1) as client, client.socket("/v1/push") as socket:
        socket.send("a" * (2**20 + 1))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
        assert socket.close_code == 1009
