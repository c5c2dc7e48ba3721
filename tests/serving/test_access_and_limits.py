"""Who may ask, how much, and what a hostile client gets."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Client, started

from stepscan.errors import StepscanError
from stepscan.serving.routes import ALL

TOKENS = "# of the team\nfirst-token-0123456789\n\nsecond-token-0123456789\n"


def raw(client: Client, content: bytes, seconds: float = 5) -> bytes:
    """What the server answers to bytes, until it closes the connection or is silent."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=seconds) as connection:
        answer = b""
        try:
            connection.sendall(content)
            while piece := connection.recv(65536):
                answer += piece
        except (TimeoutError, ConnectionError):
            pass
    return answer


def test_tokens(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKENS)
    with started({"judge": folders["judge"]}, token_file=str(tmp_path / "tokens")) as client:
        path = "/v1/models/judge/predict"
        for headers in (
            {},
            {"authorization": "Bearer wrong-token-0123456789"},
            {"authorization": "first-token-0123456789"},
        ):
            answer = client.post(path, {"inputs": ["a"]}, headers=headers)
            assert (answer.status_code, answer.json()["error"]["type"]) == (401, "unauthorised")
            assert answer.headers["www-authenticate"] == "Bearer"
        for token in ("first-token-0123456789", "second-token-0123456789"):
            headers = {"authorization": f"Bearer {token}"}
            assert client.post(path, {"inputs": ["a"]}, headers=headers).status_code == 200
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").status_code == 200
        assert client.get("/metrics").status_code == 401
        with pytest.raises(Exception, match="403"):
            client.socket("/v1/models/judge/stream")
        with client.socket(
            "/v1/models/judge/stream", subprotocols=["stepscan", "bearer.first-token-0123456789"]
        ) as one:
            one.send('{"op": "session"}')
            assert json.loads(one.recv(timeout=5))["position"] == 0
            assert one.subprotocol == "stepscan"
    for content in ("", "# nothing", "short", "with a space in it all", "é" * 20):
        (tmp_path / "tokens").write_text(content)
        serving = started({"judge": folders["judge"]}, token_file=str(tmp_path / "tokens"))
        with pytest.raises(StepscanError, match="--token-file"), serving:
            pass


def test_other_pages_and_other_names(server: Client) -> None:
    own = {"origin": server.url}
    assert server.get("/v1/models", headers=own).status_code == 200
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
        {"host": f"evil.example:{server.port}"},
    ):
        answer = server.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "unauthorised")


def test_security_headers(server: Client) -> None:
    for answer in (server.get("/v1/models"), server.get("/nothing"), server.post("/v1/models/judge/predict", {})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers


def test_routes_that_do_not_exist(server: Client) -> None:
    for path in ("/nothing", "/v1", "/v1/models/", "/v1/models/judge/predict/", "/../etc/passwd", "/v1/sessions/a/b/c"):
        answer = server.get(path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found"), path
    answer = server.get("/v1/models/judge/predict")
    assert (answer.status_code, answer.json()["error"]["message"]) == (405, "expected the method POST, got GET")
    assert server.http.head("/v1/models").status_code == 200


def test_bodies_that_are_too_large(folders: dict[str, Path]) -> None:
    with started({"judge": folders["judge"]}, max_body=1, client_timeout=0.5) as client:
        path, kind = "/v1/models/judge/predict", {"content-type": "application/json"}
        large = b'{"inputs": ["' + b"a" * 2**20 + b'"]}'
        answer = client.post(path, content=large, headers=kind)
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")

        def chunks() -> Any:
            for _ in range(64):
                yield b" " * 2**16

        assert client.post(path, content=chunks(), headers=kind).status_code == 413
        head = b"POST /v1/models/judge/predict HTTP/1.1\r\nhost: localhost\r\n"
        slow = raw(client, head + b"content-length: 100\r\n\r\n{")
        assert slow.startswith(b"HTTP/1.1 408 ")
        assert raw(client, head + b"content-length: 9999999999999\r\n\r\n").startswith(b"HTTP/1.1 413 ")
        assert raw(client, head + b"content-length: -5\r\n\r\n{}").startswith(b"HTTP/1.1 400 ")


def test_headers_that_are_too_large_or_too_slow(folders: dict[str, Path]) -> None:
    with started({"judge": folders["judge"]}, client_timeout=0.4, connections=20) as client:
        begin = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n"
        assert raw(client, begin + b"x: y\r\n" * 101 + b"\r\n").startswith(b"HTTP/1.1 431 ")
        assert raw(client, begin + b"x: " + b"y" * 40_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431 ")
        assert raw(client, begin + b"x: " + b"y" * 300_000).startswith(b"HTTP/1.1 431 ")  # without an end
        assert raw(client, b"GET /" + b"y" * 300_000).startswith(b"HTTP/1.1 431 ")
        assert raw(client, begin).startswith(b"HTTP/1.1 408 ")
        assert raw(client, b"\x16\x03\x01\x02\x00").startswith(b"HTTP/1.1 400 ")
        started_at = time.monotonic()
        assert raw(client, b"") == b""  # a connection without a request is closed
        assert time.monotonic() - started_at < 4
        idle = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(30)]
        time.sleep(0.2)
        assert len(client.app.sockets._open) == 0
        for one in idle:
            one.close()
        time.sleep(0.1)
        assert client.get("/healthz").status_code == 200


def test_a_full_queue_is_said_before_the_body_is_read(folders: dict[str, Path]) -> None:
    with started({"judge": folders["judge"]}, queue=1) as client:
        gate = client.served.engines["judge"].predictions
        client.served.loop.call_soon_threadsafe(gate.enter, "another")
        time.sleep(0.05)
        head = b"POST /v1/models/judge/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        answer = raw(client, head + b"content-length: 1000\r\n\r\n", seconds=1)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1\r\n" in answer
        client.served.loop.call_soon_threadsafe(gate.leave, "another")
        time.sleep(0.05)
        assert client.json("/v1/models/judge/predict", {"inputs": ["a"]})


def test_the_description_of_the_api(server: Client) -> None:
    description = server.get("/openapi.json").json()
    assert description["info"]["title"] == "Stepscan"
    assert set(description["paths"]["/v1/sessions/{session}"]) == {"get", "delete"}
    body = description["paths"]["/v1/sessions/{session}/push"]["post"]["requestBody"]
    assert body["required"]
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/PushFields"}
    schemas = description["components"]["schemas"]
    assert schemas["PushFields"]["required"] == ["items"]
    assert {ref.removeprefix("#/components/schemas/") for ref in _references(description)} == set(schemas)
    opened = description["paths"]["/v1/models/{model}/sessions"]["post"]["requestBody"]
    assert (opened["required"], set(opened["content"])) == (False, {"application/json", "application/octet-stream"})
    for path in ("/v1/models/{model}/generate", "/v1/sessions/{session}/generate", "/v1/completions"):
        answers = description["paths"][path]["post"]["responses"]["200"]["content"]
        assert set(answers) == {"text/event-stream", "application/json"}
    assert {route.path for route in ALL if route.path.startswith("/v1/")} <= set(description["paths"])


def _references(value: Any) -> Iterator[str]:
    """All references in a description."""
    if isinstance(value, dict):
        yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        value = list(value.values())
    for one in value if isinstance(value, list) else []:
        yield from _references(one)


def test_figures(server: Client) -> None:
    server.json("/v1/models/judge/predict", {"inputs": ["a"]})
    text = server.get("/metrics").text
    assert 'stepscan_requests_total{route="/v1/models/{model}/predict",status="200"}' in text
    assert 'stepscan_inputs_total{model="judge"}' in text
    assert 'stepscan_sessions{model="writer"}' in text


def test_malformed_requests_are_refused_and_harm_nothing(server: Client) -> None:
    """Requests of every route, with fields of the wrong kinds, names and sizes: never a fault of the server."""
    draw = random.Random(7)
    values = [
        None,
        True,
        -1,
        0,
        3,
        2**63,
        1e308,
        0.5,
        "",
        "a",
        "é😀",
        "a" * 999,
        [],
        ["a"],
        [["a"]],
        [[1, 2]],
        [1.5],
        {},
    ]
    names = ["inputs", "items", "sessions", "prompt", "source", "length", "position", "temperature", "top_k", "top_p"]
    names += [
        "stop",
        "seed",
        "stream",
        "probabilities",
        "n_best",
        "attention",
        "num_samples",
        "level",
        "ttl",
        "rollback",
    ]
    names += ["rollback", "model", "max_tokens", "n", "durable", "prefix", "\x00", "a" * 500]
    description = server.get("/openapi.json").json()["paths"]
    routes = [(path, method) for path, methods in description.items() for method in methods]
    sessions = {name: server.open(name).rpartition("/")[2] for name in ("judge", "tagger", "steps", "writer", "waves")}
    statuses: set[int] = set()
    for _ in range(600):
        path, method = draw.choice(routes)
        path = path.replace("{model}", draw.choice([*server.served.engines, "none", "%2e%2e", "😀"]))
        path = path.replace("{session}", draw.choice([*sessions.values(), "none"]))
        fields = {draw.choice(names): draw.choice(values) for _ in range(draw.randint(0, 5))} | {
            "length": 3,
            "stream": False,
        }
        body = json.dumps(fields).encode()
        if draw.random() < 0.2:
            body = bytes(draw.choices(body + b'\x00\xff[]{}"', k=draw.randint(0, 60)))
        headers = {"content-type": draw.choice(["application/json"] * 4 + ["application/octet-stream", "text/plain"])}
        if method == "delete":
            continue
        answer = server.http.request(method.upper(), path, content=body, headers=headers)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (path, body, answer.text)
    assert {200, 404, 422} <= statuses
    assert server.json("/v1/models/judge/predict", {"inputs": ["a"]})
