"""Routes of sessions."""

from __future__ import annotations

from typing import Any

from stepscan.serving.call import BYTES, Call
from stepscan.serving.deliveries import Reply
from stepscan.serving.engine import Engine
from stepscan.serving.errors import ApiError
from stepscan.serving.fields import (
    LookAheadFields,
    OpenFields,
    PushAllFields,
    PushFields,
    RollbackFields,
    SamplingFields,
)
from stepscan.serving.inputs import check_pushed, check_source, check_task, text_request
from stepscan.serving.push_all import all_pushed
from stepscan.serving.record import Record
from stepscan.serving.routes.predictions import check_paths
from stepscan.serving.routes.route import WRITTEN, Route
from stepscan.serving.session_tasks import Close, Fork, LookAhead, Push, Restore, Rollback, Save, SessionTask
from stepscan.serving.writing import send_text


async def open_session(call: Call) -> None:
    """Open a session: of nothing, of a source, or from a saved state."""
    with call.served.engine(call.arguments["model"]).in_use() as engine:
        source, state, settings = None, None, {}
        if call.content_type == BYTES:
            state = await call.body()
        else:
            fields = await call.fields(OpenFields, optional=True)
            source, settings = fields.source, {name: getattr(fields, name) for name in ("ttl", "rollback", "durable")}
            check_source(engine, source)
        record = await opened(call, engine, settings, source, state)
    await call.answer(record.description, 201)


async def opened(
    call: Any, engine: Engine, settings: dict[str, Any], source: str | None, state: bytes | None = None
) -> Record:
    """A new session.

    Raises:
        ApiError: there is no room for it, or a setting is out of range.
        StepscanError: the source or the state is not one that the model can take.
    """
    record = call.served.new_record(engine, call.client, settings)
    sessions = engine.stepper.sessions
    reply = Reply(engine.stepper.deliveries)
    engine.stepper.submit(sessions.open, record, reply, source, state)
    try:
        await call.reply(reply)
    except BaseException:
        engine.stepper.submit(sessions.give_up, record)
        raise
    return record


async def describe(call: Call) -> None:
    """What is known of a session."""
    await call.answer(_record(call).description)


async def close(call: Call) -> None:
    """Close a session."""
    await done(call, Close(record := _record(call), _reply(record)))
    await call.send_all(b"", 204)


async def push(call: Call) -> None:
    """Read more."""
    fields = await call.fields(PushFields)
    record = _record(call)
    await call.answer(await pushed(call, record, fields))


async def pushed(call: Any, record: Record, fields: PushFields) -> bytes:
    """The answer to a push, as JSON.

    Raises:
        ApiError: the session is elsewhere, or there are too many items.
        StepscanError: the items are not what the model reads.
    """
    check_pushed(record.engine, fields.items)
    task = Push(
        record,
        _reply(record),
        fields.items,
        position=fields.position,
        with_probabilities=fields.probabilities,
    )
    return await done(call, task)


async def push_all(call: Call) -> None:
    """Read one piece in each of many sessions."""
    await call.answer(await all_pushed(call, await call.fields(PushAllFields)))


async def generate(call: Call) -> None:
    """Write on."""
    fields = await call.fields(SamplingFields, optional=True)
    record = _record(call)
    await send_text(call, record.engine, text_request(record.engine, fields), fields.stream, record)


async def forecast(call: Call) -> None:
    """Look ahead."""
    fields = await call.fields(LookAheadFields)
    await call.answer(await looked_ahead(call, _record(call), fields))


async def looked_ahead(call: Any, record: Record, fields: LookAheadFields) -> bytes:
    """The answer to a forecast of a session, as JSON.

    Raises:
        ApiError: the model is no forecaster, or it is too large.
        StepscanError: too little is known.
    """
    check_task(record.engine, "forecast")
    check_paths(record.engine, fields.length, fields.num_samples)
    return await done(call, LookAhead(record, _reply(record), fields.model_dump()))


async def fork(call: Call) -> None:
    """Open a second session in the same state."""
    record = _record(call)
    other = call.served.new_record(record.engine, call.client, record.settings._asdict())
    try:
        description = await done(call, Fork(record, _reply(record), other))
    except BaseException:
        record.engine.stepper.submit(record.engine.stepper.sessions.give_up, other)
        raise
    await call.answer(description, 201)


async def rollback(call: Call) -> None:
    """Go back to an earlier state."""
    fields = await call.fields(RollbackFields)
    await call.answer(await rolled_back(call, _record(call), fields))


async def rolled_back(call: Any, record: Record, fields: RollbackFields) -> dict[str, Any]:
    """The description of a session that went back.

    Raises:
        ApiError: the state is not kept.
    """
    return await done(call, Rollback(record, _reply(record), fields.position))


async def save(call: Call) -> None:
    """Save the state."""
    position, state = await done(call, Save(record := _record(call), _reply(record)))
    await call.send_all(state, kind=BYTES, headers=[(b"x-position", str(position).encode())])


async def restore(call: Call) -> None:
    """Restore a saved state."""
    if call.content_type != BYTES:
        raise ApiError(415, "unsupported_media_type", "expected the content type application/octet-stream, got another")
    state = await call.body()
    await call.answer(await done(call, Restore(record := _record(call), _reply(record), state)))


async def done(call: Any, task: SessionTask) -> Any:
    """What a task of a session answers, after those before it.

    Raises:
        ApiError: there is no room for it, or it is refused.
        StepscanError: it is refused.
    """
    engine = task.record.engine
    engine.pushes.enter(call.client)
    try:
        engine.stepper.submit(engine.stepper.sessions.call, task)
        return await call.reply(task.reply)
    finally:
        engine.pushes.leave(call.client)


def _record(call: Call) -> Record:
    return call.served.record(call.arguments["session"])


def _reply(record: Record) -> Reply:
    return Reply(record.engine.stepper.deliveries)


_ONE = "/v1/sessions/{session}"
ROUTES = (
    Route(
        "POST", "/v1/models/{model}/sessions", open_session, "Open a session", OpenFields, status=201, takes_state=True
    ),
    Route("GET", _ONE, describe, "Describe a session"),
    Route("DELETE", _ONE, close, "Close a session", status=204),
    Route("POST", f"{_ONE}/push", push, "Read more", PushFields, gate="pushes"),
    Route("POST", f"{_ONE}/generate", generate, "Write on", SamplingFields, WRITTEN, gate="texts"),
    Route("POST", f"{_ONE}/forecast", forecast, "Look ahead", LookAheadFields, gate="pushes"),
    Route("POST", f"{_ONE}/fork", fork, "Open a second session in the same state", status=201),
    Route("POST", f"{_ONE}/rollback", rollback, "Go back to an earlier state", RollbackFields),
    Route("GET", f"{_ONE}/state", save, "Save the state", answers=("application/octet-stream",)),
    Route("PUT", f"{_ONE}/state", restore, "Restore a saved state", takes_state=True),
    Route("POST", "/v1/push", push_all, "Read one piece in each of many sessions", PushAllFields),
)
