"""Sessions over HTTP answer what sessions of the model answer, to the bit."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from servers import Client

STEPS = np.random.default_rng(0).normal(3, 2, (40, 2))
BYTES = {"content-type": "application/octet-stream"}


def as_json(result: Any) -> Any:
    return result.tolist() if isinstance(result, np.ndarray) else result


@pytest.mark.parametrize(
    ("model", "pieces"),
    [
        ("judge", ["not a", "bad film", "", "a good film " * 200]),
        ("rising", [STEPS[0].tolist(), STEPS[1:4].tolist(), STEPS.tolist() * 20]),
        ("tagger", ["the", ["dog", "runs"], [], ["a", "cat"] * 300]),
        ("steps", [STEPS[:1].tolist(), STEPS[1].tolist(), STEPS.tolist() * 20]),
        ("writer", ["one", " two", "", " three four five." * 100]),
        ("words", ["one tw", "o three\nf", "our five. one" * 100]),
        ("bytes", ["a", "é😀", " a" * 600]),
    ],
)
def test_pushes(server: Client, models: dict[str, Any], model: str, pieces: list[Any]) -> None:
    path, session = server.open(model), models[model].session()
    for number, piece in enumerate(pieces, start=1):
        given = np.atleast_2d(piece) if models[model].tokenizers_ == {} else piece
        expected = as_json(session.push(given))
        answer = server.json(f"{path}/push", {"items": piece, "probabilities": True})
        assert answer["position"] == number
        assert answer["result"] in (expected, {"probabilities": expected})
    state = server.get(f"{path}/state")
    assert state.headers["x-position"] == str(len(pieces))
    assert state.content == session.state()


def test_translations_and_forecasts(server: Client, models: dict[str, Any]) -> None:
    path, session = server.open("mirror", source="abb"), models["mirror"].session("abb")
    result = server.json(f"{path}/push", {"items": "b"})["result"]
    expected = session.push("b")
    assert result["probability"] == float(expected[result["id"]])
    assert result["attention"] == session.attention.tolist()
    assert server.text(f"{path}/generate", {}) == session.generate()
    assert server.get(f"{path}/state").content == session.state()
    path, session = server.open("waves"), models["waves"].session()
    assert server.json(f"{path}/push", {"items": [0.5, 0.25]})["result"] is None
    session.push([0.5, 0.25])
    for _ in range(2):
        expected = session.push([0.1, 0.2, 0.3])
        answer = server.json(f"{path}/push", {"items": [[0.1], [0.2], [0.3]]})
        assert answer["result"] == {name: values.tolist() for name, values in expected._asdict().items()}
    ahead = server.json(f"{path}/forecast", {"length": 3, "num_samples": 20})["forecast"]
    expected = session.forecast(3, num_samples=20)
    assert ahead == {name: values.tolist() for name, values in expected._asdict().items()}


def test_writing_on(server: Client, models: dict[str, Any]) -> None:
    path, session = server.open("words"), models["words"].session()
    server.json(f"{path}/push", {"items": "one tw"}), session.push("one tw")
    assert server.text(f"{path}/generate", {"length": 20, "seed": 3}) == session.generate(20, seed=3)
    whole = server.json(f"{path}/generate", {"length": 5, "seed": 4, "stream": False})
    assert whole["text"] == session.generate(5, seed=4)
    assert server.text(f"{path}/generate", {"seed": 5}) == session.generate(seed=5)
    assert server.get(f"{path}/state").content == session.state()
    assert server.get(path).json()["position"] == 4


def test_fork_save_restore_and_close(server: Client, models: dict[str, Any]) -> None:
    path = server.open("judge")
    server.json(f"{path}/push", {"items": "not a"})
    other = "/v1/sessions/" + server.json(f"{path}/fork", status=201)["id"]
    assert other != path
    bad, good = (
        server.json(f"{one}/push", {"items": word}) for one, word in ((path, "bad film"), (other, "good film"))
    )
    session = models["judge"].session()
    session.push("not a")
    twin = session.fork()
    assert (bad["result"], good["result"]) == (session.push("bad film"), twin.push("good film"))
    state = server.get(f"{path}/state").content
    answer = server.post("/v1/models/judge/sessions", content=state, headers=BYTES)
    assert answer.status_code == 201
    third = f"/v1/sessions/{answer.json()['id']}"
    restored = server.http.put(f"{other}/state", content=state, headers=BYTES)
    assert restored.json()["position"] == 3
    expected = session.push("film")
    for one in (path, other, third):
        assert server.json(f"{one}/push", {"items": "film"})["result"] == expected
        assert server.http.delete(one).status_code == 204
        assert server.get(one).status_code == 404
        assert server.refused(f"{one}/push", {"items": "a"})[:2] == (404, "not_found")


def test_rollback(server: Client, models: dict[str, Any]) -> None:
    for model, pieces in (("writer", list("one two")), ("tagger", ["the", "dog", "runs", "a", "cat"])):
        path = server.open(model, rollback=3)
        states = [server.get(f"{path}/state").content]
        for piece in pieces:
            server.json(f"{path}/push", {"items": piece})
            states.append(server.get(f"{path}/state").content)
        position = len(pieces)
        assert server.json(f"{path}/rollback", {"position": position})["position"] == position
        assert server.json(f"{path}/rollback", {"position": position - 2})["position"] == position - 2
        assert server.get(f"{path}/state").content == states[position - 2]
        assert server.refused(f"{path}/rollback", {"position": position - 1})[:2] == (409, "conflict")
        for piece in pieces[position - 2 :]:
            server.json(f"{path}/push", {"items": piece})
        assert server.get(f"{path}/state").content == states[position]
        assert server.refused(f"{path}/rollback", {"position": 0})[0] == 409
    path = server.open("writer", rollback=0)
    server.json(f"{path}/push", {"items": "o"})
    assert server.refused(f"{path}/rollback", {"position": 0})[0] == 409


def test_a_push_that_was_made_is_not_made_twice(server: Client) -> None:
    path = server.open("writer")
    assert server.json(f"{path}/push", {"items": "one", "position": 0})["position"] == 1
    state = server.get(f"{path}/state").content
    status, kind, message = server.refused(f"{path}/push", {"items": "one", "position": 0})
    assert (status, kind, message) == (409, "conflict", "position: expected 1, where the session is, got 0")
    assert server.get(f"{path}/state").content == state


def test_pushes_of_many_sessions_by_one_request(server: Client, models: dict[str, Any]) -> None:
    paths, sessions = [server.open("steps") for _ in range(50)], [models["steps"].session() for _ in range(50)]
    ids = [path.rpartition("/")[2] for path in paths]
    for turn in range(3):
        pieces = [STEPS[n % 7 : n % 7 + turn + 1] for n in range(50)]
        fields = {"sessions": ids, "items": [piece.tolist() for piece in pieces]}
        answers = server.json("/v1/push", fields)["results"]
        expected = [one.push(piece) for one, piece in zip(sessions, pieces, strict=True)]
        assert answers == [{"position": turn + 1, "result": tags} for tags in expected]
    fields = {"sessions": [ids[0], "nobody", ids[1], ids[2]], "items": [[1, 2], [1, 2], [1], [3, 4]]}
    good, nobody, bad, also = server.json("/v1/push", fields)["results"]
    assert (good["position"], also["position"]) == (4, 4)
    assert nobody["error"]["type"] == "not_found"
    assert bad["error"]["message"].startswith("items: expected a step [2] or steps [T, 2], got [1, 1]")
    assert server.refused("/v1/push", {"sessions": [ids[0]] * 2, "items": [[1, 2]] * 2})[0] == 422
    assert server.json("/v1/push", {"sessions": [], "items": []}) == {"results": []}
    many = {"sessions": list(map(str, range(5000))), "items": [0] * 5000}
    assert server.refused("/v1/push", many)[:2] == (413, "too_large")


def test_pushes_of_one_session_are_read_in_order(server: Client, models: dict[str, Any]) -> None:
    """Also while it writes: what comes meanwhile waits."""
    path, session = server.open("writer"), models["writer"].session()
    with ThreadPoolExecutor(2) as pool:
        texts = server.served.engines["writer"].stepper.texts
        writing = pool.submit(server.text, f"{path}/generate", {"length": 5000, "seed": 1})
        while not texts.count:
            time.sleep(0.0005)
        answer = server.json(f"{path}/push", {"items": "one"})
        assert writing.done() or answer["position"] == 2
        assert writing.result() == session.generate(5000, seed=1)
    session.push("one")
    assert server.get(f"{path}/state").content == session.state()


def test_a_text_that_nobody_reads_leaves_the_session_as_it_was(server: Client) -> None:
    path = server.open("writer")
    server.json(f"{path}/push", {"items": "one"})
    state = server.get(f"{path}/state").content
    with server.http.stream("POST", f"{path}/generate", json={"length": 100_000}) as answer:
        next(answer.iter_lines())
    assert server.get(f"{path}/state").content == state
    assert server.json(f"{path}/push", {"items": " two"})["position"] == 2


@pytest.mark.parametrize(
    ("model", "items", "message"),
    [
        ("steps", [[1, 2], [3]], "items: expected steps of equally many numbers"),
        ("steps", [1, 2, 3], "items: expected a step [2] or steps [T, 2], got [1, 3]"),
        ("steps", "ab", "items: expected a series of numbers"),
        ("steps", [[1, 1e308]], "item 1: expected finite numbers|piece 1: expected finite numbers"),
        ("tagger", [1], "items: expected a token or a list of tokens"),
        ("judge", ["a"], "items: expected a text, got list"),
        ("writer", None, "items: expected a text, got NoneType"),
        ("waves", {"a": 1}, "items: expected a series of numbers"),
    ],
)
def test_what_is_refused_leaves_the_session_as_it_was(server: Client, model: str, items: Any, message: str) -> None:
    path = server.open(model)
    before = server.get(f"{path}/state").content
    status, kind, got = server.refused(f"{path}/push", {"items": items})
    assert (status, kind) == (422, "invalid")
    assert got.startswith(tuple(message.split("|"))), got
    assert server.get(f"{path}/state").content == before
    assert server.get(path).json()["position"] == 0


def test_hostile_states(server: Client) -> None:
    path = server.open("writer")
    state = server.get(f"{path}/state").content
    other = server.get(server.open("words") + "/state").content
    draw = np.random.default_rng(0)
    hostile = [b"", b"\x00" * 40, b"\xff" * 8, state[:-1], state[:20], other, b"\x80\x04N.", state + b"x"]
    for _ in range(200):
        changed = bytearray(state)
        for place in draw.integers(0, len(state), draw.integers(1, 8)):
            changed[place] = draw.integers(0, 256)
        hostile.append(bytes(changed))
    for content in hostile:
        answer = server.http.put(f"{path}/state", content=content, headers=BYTES)
        assert answer.status_code in (200, 422), answer.text
        opened = server.post("/v1/models/writer/sessions", content=content, headers=BYTES)
        assert opened.status_code in (201, 422)
        if opened.status_code == 201:
            server.http.delete(f"/v1/sessions/{opened.json()['id']}")
    assert server.http.put(f"{path}/state", content=state, headers=BYTES).status_code == 200
    assert server.http.put(f"{path}/state", json={}).status_code == 415


def test_which_sessions_are_refused(server: Client) -> None:
    assert "expected a causal layer, got Bidirectional" in server.refused("/v1/models/both-ways/sessions", {})[2]
    assert server.refused("/v1/models/mirror/sessions", {})[2].startswith("source: expected the text")
    assert server.refused("/v1/models/judge/sessions", {"source": "a"})[0] == 422
    assert server.refused("/v1/models/judge/sessions", {"ttl": 0})[2].startswith("ttl: expected seconds above 0")
    assert server.refused("/v1/models/judge/sessions", {"rollback": 99})[2] == "rollback: expected at most 8, got 99"
    assert server.refused("/v1/models/judge/sessions", {"durable": True})[2].startswith("durable: expected false")
    assert server.refused("/v1/sessions/00/push", {"items": "a"})[:2] == (404, "not_found")
    before = len(server.served.records)
    assert server.post("/v1/models/mirror/sessions", content=b"bad", headers=BYTES).status_code == 422
    deadline = time.monotonic() + 5
    while len(server.served.records) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(server.served.records) == before
