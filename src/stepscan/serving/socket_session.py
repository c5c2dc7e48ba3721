"""What a message of a WebSocket does with its session."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from stepscan.errors import StepscanError
from stepscan.json_text import json_text
from stepscan.serving.call import ClientGone, read_json
from stepscan.serving.channel import Channel
from stepscan.serving.deliveries import Reply
from stepscan.serving.errors import ApiError, as_api_error, internal, invalid
from stepscan.serving.fields import LookAheadFields, PushFields, RollbackFields, SamplingFields, checked
from stepscan.serving.inputs import text_request
from stepscan.serving.logs import log_unexpected
from stepscan.serving.record import Record
from stepscan.serving.routes.sessions import done, looked_ahead, pushed, rolled_back
from stepscan.serving.session_tasks import SessionTask, Steps
from stepscan.serving.writing import all_of, events_of, whole_answer, written

_STEPS = 1024  # of a block that are read at once
_LONGEST_STOP = 100  # letters of a message that may be `stop`
_OPERATIONS = ("push", "generate", "forecast", "rollback", "session", "stop")


class PushBlock(SessionTask):
    """Read a block of a series, and answer with float32.

    Args:
        record: the session.
        reply: gets the answer as bytes.
        block: `[T, D]`.
    """

    def __init__(self, record: Record, reply: Reply, block: np.ndarray) -> None:
        super().__init__(record, reply)
        self.block = block

    def run(self, sessions: Any) -> Steps:
        session, answers = self.record.session, []
        before = session.snapshot()
        try:
            for start in range(0, max(1, len(self.block)), _STEPS):
                answers.append(_read_block(self.record.engine.model, session, self.block[start : start + _STEPS]))
                yield
        except StepscanError:
            session.return_to(before)
            raise
        sessions.changed(self.record, before)
        answer = np.concatenate(answers) if self.record.engine.model.task == "tag" else answers[-1]
        return answer.astype("<f4").tobytes()


def _read_block(model: Any, session: Any, block: np.ndarray) -> np.ndarray:
    """The answer to a block: of a tagger `[T, K]`, of a classifier `[K]`, of a forecaster `[3, D]` or `[0]`."""
    if model.task == "tag":
        return session.push_block(block, np.empty((len(block), len(model.classes_)), np.float32))
    result = session.push(block)
    if model.task == "forecast":
        return np.zeros(0) if result is None else np.stack(result)
    return session.probabilities


class SocketSession:
    """The messages of a WebSocket, and its session.

    Args:
        socket: the WebSocket.
        record: the session.
    """

    def __init__(self, socket: Any, record: Record) -> None:
        self.socket, self.record = socket, record

    async def answer_all(self) -> None:
        """Answer messages until the connection ends."""
        while (message := await self.socket.next()) is not None:
            try:
                await self._answer(message)
            except ClientGone:
                raise
            except Exception as error:
                log_unexpected(error)
                await self.socket.send((as_api_error(error) or internal()).content)

    async def _answer(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self.socket.send_bytes(await done(self.socket, self._block_task(message)))
            return
        operation, fields = self._operation(message)
        match operation:
            case "push":
                await self.socket.send(await pushed(self.socket, self.record, checked(PushFields, fields)))
            case "forecast":
                await self.socket.send(await looked_ahead(self.socket, self.record, checked(LookAheadFields, fields)))
            case "rollback":
                await self._send(await rolled_back(self.socket, self.record, checked(RollbackFields, fields)))
            case "session":
                await self._send(self.record.description)
            case "generate":
                await self._generate(checked(SamplingFields, fields))
            case "stop":  # what was to be stopped has ended
                await self._send({"stopped": False})

    def _operation(self, message: str) -> tuple[str, dict[str, Any]]:
        value = read_json(message)
        if not isinstance(value, dict) or value.get("op") not in _OPERATIONS:
            raise invalid(f"op: expected one of {', '.join(_OPERATIONS)}, got something else", "op")
        return value.pop("op"), value

    def _block_task(self, message: bytes) -> PushBlock:
        model = self.record.engine.model
        if model.tokenizers_:
            raise invalid("block: expected text messages for a model of texts, got bytes", "block")
        size = model.network_.embedding.size
        if len(message) % (4 * size):
            raise invalid(
                f"block: expected float32 [T, {size}], a multiple of {4 * size} bytes, got {len(message)}", "block"
            )
        block = np.frombuffer(message, "<f4").reshape(-1, size)
        return PushBlock(self.record, Reply(self.record.engine.stepper.deliveries), block)

    async def _generate(self, fields: SamplingFields) -> None:
        engine = self.record.engine
        request = text_request(engine, fields)
        with written(engine, request, self.socket.client, record=self.record, eager=fields.stream) as channel:
            sending = asyncio.ensure_future(self._send_text(channel, fields))
            sending.add_done_callback(_look_at)
            try:
                is_stopped = await self._is_stopped(sending)
            finally:
                sending.cancel()
        if is_stopped:
            await self._send({"stopped": True})

    async def _send_text(self, channel: Channel, fields: SamplingFields) -> None:
        if fields.stream:
            async for event in events_of(channel, measured=fields.probabilities):
                await self.socket.send(event)
        else:
            symbols, ending = await all_of(channel)
            await self._send(whole_answer(self.record.engine, symbols, ending, measured=fields.probabilities))

    async def _is_stopped(self, sending: asyncio.Future[None]) -> bool:
        """Read messages while a text is sent: `stop` ends it, others wait. Whether it was stopped."""
        while not sending.done():
            receiving = asyncio.ensure_future(self.socket.receive())
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                receiving.cancel()
                continue
            message = receiving.result()
            if message is None:
                return False
            if _is_stop(message):
                return not sending.done()
            try:
                self.socket.keep(message)
            except ApiError as error:
                await self.socket.send(error.content)
        await sending
        return False

    async def _send(self, value: Any) -> None:
        await self.socket.send(json_text(value).encode())


def _look_at(sending: asyncio.Future[None]) -> None:
    """Take note of an error that nobody waits for any more, as of a client that has gone."""
    if not sending.cancelled():
        sending.exception()


def _is_stop(message: str | bytes) -> bool:
    if not isinstance(message, str) or '"stop"' not in message or len(message) > _LONGEST_STOP:
        return False
    try:
        return read_json(message) == {"op": "stop"}
    except ApiError:
        return False
