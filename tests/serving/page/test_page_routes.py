"""What the server answers to the page, without a browser: its files, the inside of a model, effects of words."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import numpy as np
import pytest

from stepscan.serving.inside import trace, word_effects
from stepscan.serving.page_files import page_files


def ask(address, method, path, body=None):
    """The status, headers and content of an answer; the path is sent as it is."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    content = None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
        got = connection.getresponse()
        return got.status, {name.lower(): value for name, value in got.getheaders()}, got.read()
    finally:
        connection.close()


def posted(address, path, body):
    status, _, content = ask(address, "POST", path, body)
    return status, json.loads(content)


def test_every_file_of_the_page_is_sent_with_its_headers(address):
    for path, file in page_files().items():
        status, headers, content = ask(address, "GET", path)
        assert (status, content) == (200, file.body)
        assert headers["content-type"] == file.content_type
        for name, value in file.headers.items():
            assert headers[name.lower()] == value


@pytest.mark.parametrize(
    "path",
    ["/page/", "/page/none.js", "/page/../page_files.py", "/page/%2e%2e/page_files.py", "//etc/passwd", "/page//"],
)
def test_no_other_path_leads_to_a_file(address, path):
    status, _, content = ask(address, "GET", path)
    assert status == 404
    assert json.loads(content)["error"]["type"] == "not_found"


def test_the_page_takes_no_other_method(address):
    assert ask(address, "POST", "/", {})[0] == 405


def test_the_inside_is_that_of_the_trace(address, loaded):
    text = "a good film"
    status, found = posted(address, "/v1/models/films/inside", {"input": text, "last_steps": 2, "units": 4})
    layers = trace(loaded["films"], text, 2).layers
    assert status == 200
    assert (found["items"], found["count"]) == (["good", "film"], 3)
    assert [layer["name"] for layer in found["layers"]] == [layer.name for layer in layers]
    for shown, layer in zip(found["layers"], layers, strict=True):
        assert (shown["signature"], shown["size"]) == ("LSTM(4 → 6)", 6)
        np.testing.assert_allclose(shown["units"], layer.units[:, :4], atol=5.1e-4)
        for name, values in layer.gates.items():
            np.testing.assert_allclose(shown["gates"][name], values[:, :4], atol=5.1e-4)
            np.testing.assert_allclose(shown["gate_means"][name], values.mean(axis=1), atol=5.1e-4)


@pytest.mark.parametrize(
    ("model", "given", "items"),
    [
        ("writer", "ab", ["<bos>", "a", "b"]),
        ("reversed", "ab", ["a", "b", "<eos>"]),
        ("tokens", ["a", "b"], ["a", "b"]),
        ("numbers", [1.0, 2.0], ["1", "2"]),
        ("forecasts", [[1.0], [2.0], [3.0], [4.0]], ["3", "4"]),
    ],
)
def test_each_kind_of_input_has_an_inside(address, model, given, items):
    status, found = posted(address, f"/v1/models/{model}/inside", {"input": given})
    assert (status, found["items"]) == (200, items)
    assert len(found.get("probabilities", items)) == len(items)
    assert ("probabilities" in found) == (model == "writer")


def test_the_words_that_mattered_are_those_of_the_library(address, loaded):
    status, found = posted(address, "/v1/models/films/words", {"text": "a good film"})
    expected = word_effects(loaded["films"], "a good film")
    assert status == 200
    assert (found["label"], found["answer"]) == (expected.label, pytest.approx(expected.answer))
    for shown, word in zip(found["words"], expected.words, strict=True):
        assert shown == pytest.approx(word._asdict())
    label = next(str(other) for other in loaded["films"].labels_ if str(other) != expected.label)
    assert posted(address, "/v1/models/films/words", {"text": "a", "label": label})[1]["label"] == label
    assert posted(address, "/v1/models/films/words", {"text": ""})[1]["words"] == []


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("films/inside", {"input": "a", "unit": 3}, "unknown field 'unit'. Did you mean 'units'?"),
        ("films/inside", {"input": "a", "units": 257}, "units: expected less than or equal to 256, got 257"),
        ("films/inside", {"input": ["a"]}, "input"),
        ("films/inside", {}, "input: expected a value, got none"),
        ("tokens/inside", {"input": "a"}, "expected a list of tokens, got str"),
        ("numbers/inside", {"input": ["x"]}, "expected a series of numbers, got"),
        ("films/inside", {"input": "a " * 2049}, "input: expected at most 4,096 items to look inside, got 4,098"),
        ("films/words", {"text": "a " * 201}, "text: expected at most 200 words for their effects, got 201"),
        ("films/words", {"text": "a", "label": "none"}, "label: expected one of the model, got 'none'"),
        ("writer/words", {"text": "a"}, "effects of words: expected a classifier of texts, got another model"),
        ("numbers/words", {"text": "a"}, "expected a series"),
    ],
)
def test_wrong_requests_are_errors_in_words(address, path, body, words):
    status, found = posted(address, f"/v1/models/{path}", body)
    assert status == 422
    assert words in found["error"]["message"]
