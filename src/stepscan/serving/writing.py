"""Texts on their way to a client: as events, or at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from stepscan.json_text import json_text
from stepscan.serving.call import Call
from stepscan.serving.channel import Channel, Ending, Symbol, described, joined_text
from stepscan.serving.engine import Engine
from stepscan.serving.errors import as_api_error, internal
from stepscan.serving.logs import log_unexpected
from stepscan.serving.record import Record
from stepscan.serving.session_text import Generate, SessionText
from stepscan.serving.text_task import TextRequest, TextTask


@contextmanager
def written(
    engine: Engine, request: TextRequest, client: str, *, record: Record | None = None, eager: bool = True
) -> Iterator[Channel]:
    """A context in which a text is written; it is not written on afterwards.

    Args:
        engine: the served model.
        request: what is written.
        client: who asks.
        record: the session that it continues; None: none.
        eager: whether symbols are wanted as they come.

    Raises:
        ApiError: there is no room for another text.
    """
    engine.texts.enter(client)
    stepper = engine.stepper
    channel = Channel(stepper.deliveries, eager=eager)
    try:
        if record is None:
            stepper.submit(stepper.texts.put, TextTask(engine.model, request, channel, client))
        else:
            text = SessionText(record, request, channel, client, stepper.sessions)
            stepper.submit(stepper.sessions.call, Generate(record, text))
        yield channel
    finally:
        channel.cancel()
        engine.texts.leave(client)


async def all_of(channel: Channel) -> tuple[list[Symbol], Ending]:
    """All symbols of a text, and how it ended."""
    symbols: list[Symbol] = []
    while True:
        more, ending = await channel.read()
        symbols += more
        if ending is not None:
            return symbols, ending


async def events_of(channel: Channel, *, measured: bool) -> AsyncIterator[bytes]:
    """The events of a text, as JSON each; an error after the first is the last one.

    Raises:
        Exception: the text ended with an error before anything was written.
    """
    symbols, ending = await channel.read()
    while True:
        text = joined_text(symbols) + (ending.text if ending else "")
        if text or (symbols and measured):
            yield json_text({"text": text} | ({"symbols": described(symbols)} if measured else {})).encode()
        if ending is not None:
            yield json_text(last_event(ending)).encode()
            return
        try:
            symbols, ending = await channel.read()
        except Exception as error:
            log_unexpected(error)
            yield (as_api_error(error) or internal()).content
            return


def last_event(ending: Ending) -> dict[str, Any]:
    """The event that says how a text ended."""
    prompt = {"prompt_symbols": ending.prompt_symbols, "known_symbols": ending.known_symbols}
    return {"done": True, "reason": ending.reason, "count": ending.written, **prompt}


def whole_answer(engine: Engine, symbols: list[Symbol], ending: Ending, *, measured: bool) -> dict[str, Any]:
    """The answer for a text that was not streamed."""
    answer: dict[str, Any] = {"model": engine.name, "text": joined_text(symbols) + ending.text}
    if measured:
        answer["symbols"] = described(symbols)
    return answer | {name: value for name, value in last_event(ending).items() if name != "done"}


async def send_text(
    call: Call, engine: Engine, request: TextRequest, stream: bool, record: Record | None = None
) -> None:
    """Write a text and send it."""
    measured = request.measured
    if not stream:
        with written(engine, request, call.client, record=record, eager=False) as channel, call.cancelled_with_client():
            symbols, ending = await all_of(channel)
        await call.answer(whole_answer(engine, symbols, ending, measured=measured))
        return
    with written(engine, request, call.client, record=record) as channel, call.cancelled_with_client():
        async for event in events_of(channel, measured=measured):
            if not call.is_begun:
                await call.begin_events()
            await call.send_event(event)
    await call.end_events()
