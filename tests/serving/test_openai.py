"""OpenAI's own client works with the server."""

from __future__ import annotations

from math import log
from typing import Any

import openai
import pytest
from servers import Client


@pytest.fixture(scope="module")
def client(server: Client) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_models(client: openai.OpenAI) -> None:
    listed = client.models.list().data
    assert {"judge", "writer", "mirror"} <= {one.id for one in listed}
    one = client.models.retrieve("writer")
    assert (one.id, one.object, one.owned_by) == ("writer", "model", "stepscan")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


def test_completions(client: openai.OpenAI, models: dict[str, Any]) -> None:
    completion = client.completions.create(model="writer", prompt="one t", max_tokens=20, seed=3, temperature=0.7)
    expected = models["writer"].generate("one t", length=20, seed=3, temperature=0.7)
    assert "one t" + completion.choices[0].text == expected
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.model_dump(exclude_none=True) == {
        **{"prompt_tokens": 5, "completion_tokens": 20, "total_tokens": 25}
    }
    echoed = client.completions.create(
        model="writer", prompt="one t", max_tokens=20, seed=3, temperature=0.7, echo=True
    )
    assert echoed.choices[0].text == expected
    default = client.completions.create(model="writer", prompt="one t", temperature=0)
    assert len(default.choices[0].text) == 16


def test_several_prompts_and_choices(client: openai.OpenAI, models: dict[str, Any]) -> None:
    completion = client.completions.create(model="writer", prompt=["one", "five"], n=2, max_tokens=9, seed=5)
    texts = [choice.text for choice in sorted(completion.choices, key=lambda choice: choice.index)]
    prompts = ["one", "one", "five", "five"]
    for number, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        assert prompt + text == models["writer"].generate(prompt, length=9, seed=5 + number)


def test_streams(client: openai.OpenAI, models: dict[str, Any]) -> None:
    stream = client.completions.create(
        model="words",
        prompt=["one", "five."],
        max_tokens=30,
        seed=1,
        stream=True,
        stop=["three"],
        stream_options={"include_usage": True},
    )
    texts, reasons, usage = ["", ""], {}, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    for number, prompt in enumerate(["one", "five."]):
        expected = models["words"].generate(prompt, length=30, seed=1 + number, stop=["three"])
        assert prompt + texts[number] == expected
    assert set(reasons.values()) <= {"stop", "length"}
    assert usage.completion_tokens <= 60


def test_log_probabilities(client: openai.OpenAI, models: dict[str, Any]) -> None:
    completion = client.completions.create(model="writer", prompt="one t", max_tokens=3, temperature=0, logprobs=1)
    logprobs, text = completion.choices[0].logprobs, "one t"
    assert "".join(logprobs.tokens) == completion.choices[0].text
    for token, value in zip(logprobs.tokens, logprobs.token_logprobs, strict=True):
        [row] = models["writer"].predict_proba([text])
        assert value == pytest.approx(log(row.max()), rel=1e-5)
        text += token
    assert logprobs.top_logprobs[0] == {logprobs.tokens[0]: logprobs.token_logprobs[0]}
    assert logprobs.text_offset == [0, 1, 2]


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "judge"},
        {"max_tokens": -1},
        {"temperature": -1.0},
        {"frequency_penalty": 1.0},
        {"logit_bias": {"5": 1}},
        {"suffix": "a"},
        {"n": 0},
        {"logprobs": 5},
        {"extra_body": {"top": 3}},
    ],
    ids=str,
)
def test_what_is_refused(client: openai.OpenAI, arguments: dict[str, Any]) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.completions.create(**{"model": "writer", "prompt": "a", **arguments})
    assert caught.value.body["type"] == "invalid"
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="nobody", prompt="a")
