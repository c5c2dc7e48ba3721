"""Texts that continue sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepscan.serving.channel import Channel
from stepscan.serving.record import Record
from stepscan.serving.session_tasks import SessionTask
from stepscan.serving.text_task import TextRequest, TextTask


class SessionText(TextTask):
    """A text that continues a session.

    Args:
        record: the session.
        request: what is written.
        channel: where the symbols go.
        client: who asked.
        sessions: those of the thread that writes.
    """

    def __init__(self, record: Record, request: TextRequest, channel: Channel, client: str, sessions: Any) -> None:
        super().__init__(record.engine.model, request, channel, client)
        self.record, self._sessions = record, sessions

    def prepare(self, prefixes: Any) -> Iterator[None]:
        model, request = self.model, self.request
        excluded = model.excluded_ids(request.forbidden, request.allowed) if model.task == "generate" else ()
        self.text = self.record.session.text(self._writing(excluded))
        self.length = self._asked_length()
        yield

    def commit(self) -> None:
        if not self.channel.is_cancelled:
            before = self.record.session.snapshot()
            self.record.session.adopt(self.text)
            self._sessions.changed(self.record, before)


class Generate(SessionTask):
    """Write on: the text is written with all others, and the session waits for it.

    Args:
        record: the session.
        text: the text.
    """

    changes = False

    def __init__(self, record: Record, text: SessionText) -> None:
        self.record, self.text = record, text

    def fail(self, error: BaseException) -> None:
        self.text.channel.fail(error)
