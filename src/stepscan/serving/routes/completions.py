"""OpenAI's route for completions."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from typing import Any

from stepscan.data.example_checks import as_texts
from stepscan.decoding import Sampler
from stepscan.json_text import json_text
from stepscan.serving.call import Call
from stepscan.serving.channel import Channel, Ending, Symbol, joined_text
from stepscan.serving.engine import Engine
from stepscan.serving.errors import as_api_error, internal, invalid, too_large
from stepscan.serving.fields import CompletionFields
from stepscan.serving.inputs import check_length, check_task, check_texts
from stepscan.serving.logs import log_unexpected
from stepscan.serving.routes.route import WRITTEN, Route
from stepscan.serving.text_task import TextRequest
from stepscan.serving.writing import all_of, written

_LENGTH = 16  # symbols, unless a request says otherwise
_MOST_CHOICES = 128
_REASONS = {"length": "length", "stop": "stop", "end": "stop"}


async def completions(call: Call) -> None:
    """Complete prompts."""
    fields = await call.fields(CompletionFields)
    with call.served.engine(fields.model).in_use() as engine:
        requests = _requests(engine, fields)
        completion = _Completion(engine.name, fields)
        if not fields.stream:
            await call.answer(await _whole(call, engine, requests, completion))
        else:
            await _stream(call, engine, requests, completion)


class _Completion:
    """What the answers to one request have in common."""

    def __init__(self, model: str, fields: CompletionFields) -> None:
        self.fields = fields
        self._head = {
            **{"id": f"cmpl-{secrets.token_hex(12)}", "object": "text_completion", "created": int(time.time())},
            "model": model,
        }

    def answer(self, choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> dict[str, Any]:
        """An answer, or a part of one."""
        return {**self._head, "choices": choices} | ({} if usage is None else {"usage": usage})

    def choice(self, index: int, text: str, symbols: list[Symbol], reason: str | None) -> dict[str, Any]:
        """A text, or a part of one."""
        logprobs = None
        if self.fields.logprobs is not None and symbols:
            logprobs = _log_probabilities(symbols, self.fields.logprobs)
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


async def _whole(call: Call, engine: Engine, requests: list[TextRequest], completion: _Completion) -> dict[str, Any]:
    with ExitStack() as stack:
        channels = [stack.enter_context(written(engine, one, call.client, eager=False)) for one in requests]
        stack.enter_context(call.cancelled_with_client())
        texts = [await all_of(channel) for channel in channels]
    choices = [
        completion.choice(
            index, _echoed(completion, request) + joined_text(symbols) + ending.text, symbols, _REASONS[ending.reason]
        )
        for index, (request, (symbols, ending)) in enumerate(zip(requests, texts, strict=True))
    ]
    return completion.answer(choices, _usage([ending for _, ending in texts]))


async def _stream(call: Call, engine: Engine, requests: list[TextRequest], completion: _Completion) -> None:
    """Send each text in turn; all of them are written at the same time."""
    with ExitStack() as stack:
        channels = [stack.enter_context(written(engine, one, call.client)) for one in requests]
        stack.enter_context(call.cancelled_with_client())
        endings = []
        try:
            for index, (request, channel) in enumerate(zip(requests, channels, strict=True)):
                endings.append(await _send_text(call, completion, index, _echoed(completion, request), channel))
            options = completion.fields.stream_options
            if options is not None and options.include_usage:
                await call.send_event(json_text(completion.answer([], _usage(endings))).encode())
        except Exception as error:
            if not call.is_begun:
                raise
            log_unexpected(error)
            await call.send_event((as_api_error(error) or internal()).content)
        await call.send_event(b"[DONE]")
    await call.end_events()


async def _send_text(call: Call, completion: _Completion, index: int, lead: str, channel: Channel) -> Ending:
    ending = None
    while ending is None:
        symbols, ending = await channel.read()
        if not call.is_begun:
            await call.begin_events()
        text, lead = lead + joined_text(symbols) + (ending.text if ending else ""), ""
        if text or symbols:
            choice = completion.choice(index, text, symbols, None)
            await call.send_event(json_text(completion.answer([choice])).encode())
    choice = completion.choice(index, "", [], _REASONS[ending.reason])
    await call.send_event(json_text(completion.answer([choice])).encode())
    return ending


def _requests(engine: Engine, fields: CompletionFields) -> list[TextRequest]:
    """The texts to write: `n` for each prompt, with seeds that follow one another."""
    check_task(engine, "generate")
    for name in ("frequency_penalty", "presence_penalty", "logit_bias", "suffix"):
        if getattr(fields, name):
            raise invalid(f"{name}: expected none, which is all that this server has, got one", name)
    if fields.best_of not in (None, 1, fields.n):
        raise invalid(f"best_of: expected n, got {fields.best_of}", "best_of")
    prompts, count = as_texts(fields.prompt, "prompt") or [""], fields.n or 1
    check_texts(engine, *prompts)
    length = _LENGTH if fields.max_tokens is None else fields.max_tokens
    check_length(engine, length * len(prompts) * count)
    if len(prompts) * count > _MOST_CHOICES:
        raise too_large(f"prompt: expected at most {_MOST_CHOICES} texts, n of each prompt, got more", "prompt")
    sampler = Sampler(
        temperature=1.0 if fields.temperature is None else fields.temperature,
        top_p=1.0 if fields.top_p is None else fields.top_p,
    )
    seeds = [None if fields.seed is None else fields.seed + number for number in range(len(prompts) * count)]
    stop = as_texts(fields.stop or [], "stop")
    return [
        TextRequest(sampler, length, prompt, seed=seed, stop=stop, measured=fields.logprobs is not None)
        for prompt, seed in zip([prompt for prompt in prompts for _ in range(count)], seeds, strict=True)
    ]


def _echoed(completion: _Completion, request: TextRequest) -> str:
    return request.prompt if completion.fields.echo else ""


def _usage(endings: list[Ending]) -> dict[str, int]:
    prompt, count = sum(one.prompt_symbols for one in endings), sum(one.written for one in endings)
    return {"prompt_tokens": prompt, "completion_tokens": count, "total_tokens": prompt + count}


def _log_probabilities(symbols: list[Symbol], most: int) -> dict[str, Any]:
    from math import log

    values = [log(one.probability) if one.probability > 0 else None for one in symbols]
    offsets, offset = [], 0
    for one in symbols:
        offsets.append(offset)
        offset += len(one.text)
    tops = [{one.text: value} for one, value in zip(symbols, values, strict=True)] if most else None
    return {
        **{"tokens": [one.text for one in symbols], "token_logprobs": values, "top_logprobs": tops},
        "text_offset": offsets,
    }


ROUTES = (Route("POST", "/v1/completions", completions, "OpenAI's completions", CompletionFields, WRITTEN),)
