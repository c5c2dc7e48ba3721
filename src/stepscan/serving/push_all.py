"""Pushes of many sessions by one request."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

from stepscan.serving.deliveries import Deliveries, Reply
from stepscan.serving.engine import Engine
from stepscan.serving.errors import ApiError, as_api_error, internal, invalid, too_large
from stepscan.serving.fields import PushAllFields
from stepscan.serving.inputs import check_pushed
from stepscan.serving.session_tasks import Push

MOST_SESSIONS = 4096  # of a request: a hundredth of a second of the event loop


class Slot:
    """Where one of several tasks of a thread answers; the last one ends the waiting.

    Args:
        answers: of all tasks, as JSON each.
        index: that of the task.
        group: the tasks that one waits for.
    """

    __slots__ = ("_answers", "_group", "_index")

    def __init__(self, answers: list[bytes], index: int, group: Group) -> None:
        self._answers, self._index, self._group = answers, index, group

    def answer(self, value: bytes) -> None:
        """Answer."""
        self.put(value)
        self._group.count_answer()

    def put(self, value: bytes) -> None:
        """Write the answer, which nobody waits for."""
        self._answers[self._index] = value

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        self.answer(error_content(error))


class Group:
    """Tasks of one thread that one waits for.

    Args:
        deliveries: of the thread.
    """

    def __init__(self, deliveries: Deliveries) -> None:
        self.reply = Reply(deliveries)
        self.tasks: list[Push] = []
        self.slots: list[Slot] = []  # where they answer
        self._answered = 0

    def count_answer(self) -> None:
        """Count an answer; for the thread."""
        self._answered += 1
        if self._answered == len(self.tasks):
            self.reply.answer(None)

    def begin(self, sessions: Any) -> None:
        """Let the thread begin the tasks."""
        for task in self.tasks:
            sessions.call(task)

    def fail(self, error: BaseException) -> None:
        """Give each task an error as its answer; for the event loop."""
        for slot in self.slots:
            slot.put(error_content(error))


async def all_pushed(call: Any, fields: PushAllFields) -> bytes:
    """The answer to pushes of many sessions, as JSON.

    Raises:
        ApiError: there are not as many items as sessions, a session occurs twice, or there is no room.
    """
    ids, items = fields.sessions, fields.items
    if len(ids) != len(items) or len(set(ids)) != len(ids):
        raise invalid(f"items: expected one for each of {len(ids)} different sessions, got {len(items)}", "items")
    if len(ids) > MOST_SESSIONS:
        raise too_large(f"sessions: expected at most {MOST_SESSIONS:,} in one request, got {len(ids):,}", "sessions")
    answers = [b"null"] * len(ids)
    groups: dict[Engine, Group] = {}
    for index, (id, one) in enumerate(zip(ids, items, strict=True)):
        try:
            record = call.served.record(id)
            check_pushed(record.engine, one)
        except ApiError as error:
            answers[index] = error.content
            continue
        if (group := groups.get(record.engine)) is None:
            group = groups[record.engine] = Group(record.engine.stepper.deliveries)
        slot = Slot(answers, index, group)
        group.slots.append(slot)
        group.tasks.append(Push(record, slot, one, with_probabilities=fields.probabilities))
    await _answered(call, groups)
    return b'{"results": [' + b", ".join(answers) + b"]}"


async def _answered(call: Any, groups: dict[Engine, Group]) -> None:
    """Let the threads of all models answer their tasks; none begins unless there is room in all.

    Raises:
        ApiError: there is no room, or no model answers.
    """
    with ExitStack() as entered:
        for engine in groups:
            engine.pushes.enter(call.client)
            entered.callback(engine.pushes.leave, call.client)
        for engine, group in groups.items():
            engine.stepper.submit(group.begin, engine.stepper.sessions)
        waiting = [call.reply(group.reply) for group in groups.values()]
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    errors = [end for end in ends if end is not None]
    if errors and len(errors) == len(ends):
        raise errors[0]
    for group, end in zip(groups.values(), ends, strict=True):
        if end is not None:
            group.fail(end)


def error_content(error: BaseException) -> bytes:
    """The answer for an error, as JSON."""
    return (as_api_error(error) or internal()).content
