"""Texts over HTTP are those that the model writes alone, whoever else is served."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from servers import Client, started

import stepscan as ss
from stepscan import runtime


def generate(model: str) -> str:
    return f"/v1/models/{model}/generate"


@pytest.mark.parametrize("model", ["writer", "words", "bytes"])
def test_a_text_is_that_of_the_model(server: Client, models: dict[str, Any], model: str) -> None:
    for prompt, settings in (
        ("", {"seed": 1}),
        ("one t", {"seed": 2, "temperature": 0.5, "top_k": 5}),
        ("one two three", {"seed": 3, "top_p": 0.9, "min_p": 0.01}),
        ("five. ", {"temperature": 0.0}),
    ):
        fields = {"prompt": prompt, "length": 30, **settings}
        expected = models[model].generate(prompt, length=30, **settings)
        assert prompt + server.text(generate(model), fields) == expected
        whole = server.json(generate(model), fields | {"stream": False, "probabilities": True})
        assert prompt + whole["text"] == expected
        assert (whole["reason"], whole["count"], len(whole["symbols"])) == ("length", 30, 30)
        assert all(0 < symbol["probability"] <= 1 for symbol in whole["symbols"])


def test_stop_texts_forbidden_and_allowed_symbols(server: Client, models: dict[str, Any]) -> None:
    model = models["writer"]
    for settings in ({"stop": ["e"]}, {"stop": "wo t"}, {"forbidden": ["e", "o"]}, {"allowed": list("ntone")}):
        expected = model.generate("one", length=80, seed=5, **settings)
        assert (
            "one" + server.text(generate("writer"), {"prompt": "one", "length": 80, "seed": 5, **settings}) == expected
        )
    answer = server.json(generate("writer"), {"length": 500, "stop": [" "], "seed": 1, "stream": False})
    assert answer["reason"] == "stop"
    assert " " not in answer["text"]


def test_the_events_of_a_text(server: Client) -> None:
    events = server.events(generate("bytes"), {"prompt": "a", "length": 40, "seed": 1, "probabilities": True})
    assert events[-1] == {
        **{"done": True, "reason": "length", "count": 40, "prompt_symbols": 1},
        "known_symbols": events[-1]["known_symbols"],
    }
    symbols = [symbol for event in events[:-1] for symbol in event.get("symbols", [])]
    assert len(symbols) == 40
    assert "".join(event["text"] for event in events[:-1]).startswith("".join(symbol["text"] for symbol in symbols))
    assert server.events(generate("writer"), {"length": 0}) == [
        {"done": True, "reason": "length", "count": 0, "prompt_symbols": 0, "known_symbols": 0}
    ]


def test_translations_are_written_too(server: Client, models: dict[str, Any]) -> None:
    fields = {"source": "abb", "temperature": 0.7, "seed": 4, "length": 9}
    expected = models["mirror"].session("abb").generate(9, temperature=0.7, seed=4)
    assert server.text(generate("mirror"), fields) == expected
    session = models["mirror"].session("ab")
    session.push("b")
    assert server.text(generate("mirror"), {"source": "ab", "prompt": "b"}) == session.generate()
    last = server.events(generate("mirror"), {"source": "ab"})[-1]
    assert last["reason"] in ("end", "length")


def test_many_texts_at_once_are_what_each_is_alone(server: Client, models: dict[str, Any]) -> None:
    prompts = ["one two three four five. " * (n % 7) + "one"[: n % 4] for n in range(24)]

    def write(number: int) -> str:
        fields = {"prompt": prompts[number], "length": 20 + 5 * number, "seed": number}
        return prompts[number] + server.text(generate("writer"), fields)

    with ThreadPoolExecutor(24) as pool:
        texts = list(pool.map(write, range(24)))
    for number, text in enumerate(texts):
        assert text == models["writer"].generate(prompts[number], length=20 + 5 * number, seed=number)
    assert server.served.engines["writer"].stepper.texts.count == 0


def test_a_prompt_that_was_read_is_looked_up(server: Client, models: dict[str, Any]) -> None:
    for model in ("writer", "bytes"):
        prompt = "five one two three four. " * 40
        first, second = (server.events(generate(model), {"prompt": prompt, "length": 9, "seed": 1}) for _ in range(2))
        assert (first[-1]["known_symbols"], second[-1]["known_symbols"]) == (0, 1000)
        texts = ["".join(event.get("text", "") for event in events) for events in (first, second)]
        assert texts[0] == texts[1] == models[model].generate(prompt, length=9, seed=1)[len(prompt) :]
        longer = server.events(generate(model), {"prompt": prompt + "one t", "length": 30, "seed": 2})
        assert 900 < longer[-1]["known_symbols"] <= 1000
        text = "".join(event.get("text", "") for event in longer)
        assert prompt + "one t" + text == models[model].generate(prompt + "one t", length=30, seed=2)


def test_prefixes_keep_to_their_budget(folders: dict[str, Path]) -> None:
    with started({"writer": folders["writer"]}, prefix_memory=0) as client:
        for _ in range(2):
            last = client.events(generate("writer"), {"prompt": "one " * 300, "length": 1})[-1]
            assert last["known_symbols"] == 0
        assert client.served.engines["writer"].stepper.texts.prefixes.nbytes == 0


def test_a_client_that_goes_away_frees_its_place(server: Client) -> None:
    engine = server.served.engines["writer"]
    with server.http.stream("POST", generate("writer"), json={"length": 100_000}) as answer:
        next(answer.iter_lines())
    deadline = time.monotonic() + 30
    while (engine.texts.count or engine.stepper.texts.count) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert engine.texts.count == engine.stepper.texts.count == 0


def test_a_client_that_does_not_read_is_held_and_then_dropped(folders: dict[str, Path]) -> None:
    with started({"writer": folders["writer"]}, client_timeout=0.5) as client:
        texts = client.served.engines["writer"].stepper.texts
        with client.http.stream("POST", generate("writer"), json={"length": 100_000, "probabilities": True}) as answer:
            lines = answer.iter_lines()
            next(lines)
            deadline = time.monotonic() + 10
            while texts.count and time.monotonic() < deadline:
                time.sleep(0.02)
            assert texts.count == 0
            assert texts.symbols < 100_000
        assert len(client.events(generate("writer"), {"length": 3})) >= 2


def test_a_long_prompt_holds_up_nobody(folders: dict[str, Path]) -> None:
    """Steps of a text, and pushes, go on while prompts of 90,000 symbols are read."""
    with started({"writer": folders["writer"]}) as client, ThreadPoolExecutor(4) as pool:
        session = client.open("writer")
        prompt = "one two three four five. " * 3600
        reading = [
            pool.submit(client.events, generate("writer"), {"prompt": prompt[n:], "length": 1}) for n in range(3)
        ]
        texts = client.served.engines["writer"].stepper.texts
        while not texts.count:
            time.sleep(0.001)
        for number in range(20):
            assert client.json(f"{session}/push", {"items": "one "})["position"] == number + 1
            assert len(client.text(generate("writer"), {"length": 10})) == 10
        assert not any(one.done() for one in reading)
        assert all(one.result()[-1]["done"] for one in reading)


def test_a_text_comes_as_it_is_written(server: Client) -> None:
    with server.http.stream("POST", generate("writer"), json={"length": 20_000}) as answer:
        sizes = [len(json.loads(line[6:]).get("text", "")) for line in answer.iter_lines() if line]
    assert len(sizes) > 10
    assert max(sizes) < 20_000


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        ("writer", {"length": -1}, (422, "length: expected greater than or equal to 0, got -1")),
        ("writer", {"length": 10**6}, (413, "length: expected at most 100,000, got 1,000,000")),
        ("writer", {"temperature": -1}, (422, "temperature: expected a finite number")),
        ("writer", {"temperature": "warm"}, (422, "temperature: expected number, got 'warm'")),
        ("writer", {"top_p": 0}, (422, "top_p: expected a number above 0")),
        ("writer", {"seed": -1}, (422, "seed: expected greater")),
        ("writer", {"forbidden": ["é"]}, (422, "expected a symbol of the model, got 'é'")),
        ("writer", {"allowed": ["<pad>"]}, (422, "")),
        ("writer", {"source": "a"}, (422, "source: expected none for a language model")),
        ("writer", {"prompt": "a" * 100_001}, (413, "prompt: expected at most 100,000 letters")),
        ("writer", {"stop": ["a"] * 65}, (413, "stop, forbidden, allowed: expected at most 64 texts")),
        ("writer", {"lenght": 3}, (422, "unknown field 'lenght'. Did you mean 'length'?")),
        ("mirror", {}, (422, "source: expected the text to translate, got none")),
        ("mirror", {"source": "a", "forbidden": ["a"]}, (422, "forbidden, allowed: expected none")),
        ("judge", {}, (422, "model: expected one of the task 'generate' or 'translate', got 'classify'")),
    ],
    ids=str,
)
def test_refusals_of_texts(server: Client, model: str, fields: Any, expected: tuple[int, str]) -> None:
    status, _, message = server.refused(generate(model), fields)
    assert (status, message[: len(expected[1])]) == expected


def test_streams_and_queue_are_limits(folders: dict[str, Path]) -> None:
    with started({"writer": folders["writer"]}, streams=2, queue=2, queue_time=0.2) as client:
        texts = client.served.engines["writer"].stepper.texts
        most, stop = [0], threading.Event()

        def watch() -> None:
            while not stop.is_set():
                most[0] = max(most[0], texts.count)
                time.sleep(0.0005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        path, fields = generate("writer"), {"length": 60_000}
        with client.http.stream("POST", path, json=fields) as one, client.http.stream("POST", path, json=fields) as two:
            lines = one.iter_lines(), two.iter_lines()
            assert all(map(next, lines))
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda _: client.post(path, {"length": 3}), range(8)))
        stop.set()
        watcher.join()
        assert {answer.status_code for answer in answers} == {429}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        messages = {answer.json()["error"]["message"] for answer in answers}
        assert "expected a place within 0.2 seconds, got none" in messages
        assert most[0] <= 2
        deadline = time.monotonic() + 5
        while texts.count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert client.text(path, {"length": 3})


def test_a_model_whose_layers_run_in_python(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"hidden_size": 6, "epochs": 1, "bptt": 16, "batch_size": 4}
    ss.LanguageModel(cell="mingru", **quick).fit("one two three. " * 40).save(tmp_path / "model")
    model = runtime.load(tmp_path / "model")
    with started({"model": tmp_path / "model"}) as client:
        assert "one" + client.text(generate("model"), {"prompt": "one", "length": 20, "seed": 1}) == model.generate(
            "one", length=20, seed=1
        )
        path, session = client.open("model"), model.session()
        client.json(f"{path}/push", {"items": "one"}), session.push("one")
        assert client.text(f"{path}/generate", {"length": 20, "seed": 2}) == session.generate(20, seed=2)
