"""Predictions over HTTP are those of the model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from servers import Client

FILMS = ["a good film", "not a bad film", "", "unknown words 😀"]
SERIES = [[[1.5, 2], [3.25, -1]], [[4, 4.5]], [[5, 0.125]] * 7]


def records(client: Client, model: str, inputs: Any, **fields: Any) -> list[dict[str, Any]]:
    return client.json(f"/v1/models/{model}/predict", {"inputs": inputs, **fields})["predictions"]


def test_classes(server: Client, models: dict[str, Any]) -> None:
    assert records(server, "judge", FILMS) == models["judge"].predict_records(FILMS)
    answers = records(server, "both-ways", FILMS, probabilities=True)
    expected = models["both-ways"].predict_proba(FILMS)
    assert [list(one["probabilities"].values()) for one in answers] == expected.tolist()
    assert list(answers[0]["probabilities"]) == ["bad", "good"]
    assert records(server, "rising", SERIES) == models["rising"].predict_records([np.array(one) for one in SERIES])


def test_tags(server: Client, models: dict[str, Any]) -> None:
    sentences = [["the", "dog", "runs"], [], ["sleeps"]]
    assert records(server, "tagger", sentences) == [
        {"tokens": tokens, "tags": tags}
        for tokens, tags in zip(sentences, models["tagger"].predict(sentences), strict=True)
    ]
    answers = records(server, "steps", SERIES, probabilities=True)
    arrays = [np.array(one, float) for one in SERIES]
    assert [one["tags"] for one in answers] == models["steps"].predict(arrays)
    for one, rows in zip(answers, models["steps"].predict_proba(arrays), strict=True):
        assert one["probabilities"] == rows.tolist()


def test_next_symbols(server: Client, models: dict[str, Any]) -> None:
    texts, model = ["one t", "", "fiv"], models["writer"]
    answers = records(server, "writer", texts, probabilities=True)
    assert [one["probabilities"] for one in answers] == model.predict_proba(texts).tolist()
    assert [one["symbol"] for one in answers] == model.predict(texts)


def test_translations(server: Client, models: dict[str, Any]) -> None:
    sources, model = ["ab", "bba", ""], models["mirror"]
    assert records(server, "mirror", sources) == model.predict_records(sources)
    fields = {"inputs": sources, "n_best": 2, "prefix": "b", "maximum_length": 4, "attention": True}
    answers = server.json("/v1/models/mirror/translate", fields)["translations"]
    expected = model.translate(sources, n_best=2, prefix="b", maximum_length=4)
    assert [[best["text"] for best in one["n_best"]] for one in answers] == [[b.text for b in one] for one in expected]
    source_symbols, target_symbols, weights = model.attention_weights("bba", expected[1][0].text)
    assert answers[1]["attention"] == {"source": source_symbols, "target": target_symbols, "weights": weights.tolist()}


def test_forecasts(server: Client, models: dict[str, Any]) -> None:
    context = [float(x) for x in np.sin(np.arange(30))]
    fields = {"inputs": [context, [[x] for x in context[:9]]], "length": 4, "level": 0.8, "num_samples": 50, "seed": 3}
    flat, columns = server.json("/v1/models/waves/forecast", fields)["forecasts"]
    one = models["waves"].forecast(context, 4, level=0.8, num_samples=50, seed=3)
    assert flat == {name: values[:, 0].tolist() for name, values in one._asdict().items()}
    two = models["waves"].forecast(context[:9], 4, level=0.8, num_samples=50, seed=3)
    assert columns == {name: values.tolist() for name, values in two._asdict().items()}


def test_many_at_once_and_large_batches_get_what_each_gets_alone(server: Client, models: dict[str, Any]) -> None:
    draw = np.random.default_rng(1)
    batches = [
        [" ".join(draw.choice(["good", "bad", "film"], size % 20)) for size in range(1, n)] for n in (3, 150, 7, 300)
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda batch: records(server, "judge", batch), batches * 4))
    assert answers == [models["judge"].predict_records(batch) for batch in batches] * 4


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        ("judge/predict", {"inputs": []}, (422, "invalid", "inputs: expected at least one, got none")),
        ("judge/predict", {"inputs": "a"}, (422, "invalid", "inputs: expected list, got 'a'")),
        ("judge/predict", {"inputs": ["a", 3]}, (422, "invalid", "input 2: expected a string, got 3")),
        ("judge/predict", {"input": ["a"]}, (422, "invalid", "unknown field 'input'. Did you mean 'inputs'?")),
        ("judge/predict", {}, (422, "invalid", "inputs: expected a value, got none")),
        ("judge/predict", ["a"], (400, "bad_json", "body: expected a JSON object, got ['a']")),
        ("nobody/predict", {"inputs": ["a"]}, (404, "not_found", "model: expected one of")),
        ("waves/predict", {"inputs": ["a"]}, (422, "invalid", "model: expected one of the task 'classify' or 'tag'")),
        ("tagger/predict", {"inputs": ["a b"]}, (422, "invalid", "input 1: expected a list of tokens, got str")),
        ("steps/predict", {"inputs": [[1, 2]]}, (422, "invalid", "a series has 1 dimension|series 1: expected")),
        ("steps/predict", {"inputs": [[[1, 2], [3]]]}, (422, "invalid", "expected steps of equally many numbers")),
        ("steps/predict", {"inputs": [[["a", "b"]]]}, (422, "invalid", "expected a series of numbers")),
        ("steps/predict", {"inputs": [[]]}, (422, "invalid", "input 1: expected a series, a list of at least one")),
        (
            "mirror/translate",
            {"inputs": ["a"], "n_best": 0},
            (422, "invalid", "n_best: expected greater than or equal"),
        ),
        (
            "mirror/translate",
            {"inputs": ["a"], "maximum_length": 10**9},
            (413, "too_large", "length: expected at most"),
        ),
        ("mirror/predict", {"inputs": ["a" * 5000]}, (413, "too_large", "source: expected at most 4,096 letters")),
        (
            "mirror/translate",
            {"inputs": ["a" * 4000], "attention": True},
            (413, "too_large", "attention: expected an answer of at most 10,000,000 numbers, got 32,080,000"),
        ),
        ("judge/translate", {"inputs": ["a"]}, (422, "invalid", "model: expected one of the task 'translate'")),
        ("waves/forecast", {"inputs": [[1.0]], "length": 2}, (422, "invalid", "context has 1 step")),
        ("waves/forecast", {"inputs": [[1.0] * 9], "length": 0}, (422, "invalid", "length: expected greater")),
        ("waves/forecast", {"inputs": [[1.0] * 9], "length": 90_000}, (413, "too_large", "length: expected an answer")),
        ("waves/forecast", {"inputs": [[1.0] * 9], "length": 2, "level": 1}, (422, "invalid", "level: expected")),
    ],
    ids=str,
)
def test_refusals(server: Client, path: str, fields: Any, expected: tuple[int, str, str]) -> None:
    status, kind, message = server.refused(f"/v1/models/{path}", fields)
    assert (status, kind) == expected[:2]
    assert any(message.startswith(one) or one in message for one in expected[2].split("|")), message


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"inputs": [NaN]}', 400),
        (b'{"inputs": [Infinity]}', 400),
        (b'{"inputs": [1e999]}', 422),
        (b'{"inputs": [[[1e999, 1]]]}', 422),
        (b"\xff\xfe", 400),
        (b"", 400),
        (b"[" * 100_000, 400),
        (b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b'{"inputs": [[[' + b"9" * 5000 + b", 1]]]}", 400),
        (b'{"inputs": [[[' + b"9" * 400 + b", 1]]]}", 422),
        (b'{"inputs": ["a", "\\ud800"]}', 422),
        (b'{"inputs": null}', 422),
        (b'{"inputs": [[[1, 2]]], "inputs": []}', 422),
        (b'{"inputs": [[[true, false]]]}', 422),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_hostile_json(server: Client, body: bytes, status: int) -> None:
    answer = server.post("/v1/models/steps/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
