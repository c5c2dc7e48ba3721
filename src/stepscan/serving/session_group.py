"""The sessions of a model: what is ready to be read is read together."""

from __future__ import annotations

import time
from typing import Any

from stepscan.errors import StepscanError
from stepscan.serving.deliveries import Deliveries
from stepscan.serving.errors import not_found
from stepscan.serving.fair_queue import FairQueue
from stepscan.serving.logs import log_unexpected
from stepscan.serving.pieces import as_piece, is_short
from stepscan.serving.record import Earlier, Record
from stepscan.serving.session_tasks import Push, SessionTask, Steps
from stepscan.serving.session_text import Generate
from stepscan.serving.text_group import TextGroup
from stepscan.serving.work import Work, WorkQueue

_TOGETHER = 1024  # sessions that are pushed together, at most


class SessionGroup:
    """Sessions of a model, each with what it is asked to do, in order. Used by one thread.

    Args:
        engine: the served model.
        deliveries: the way to the event loop.
        texts: where sessions write.
        work: where longer work is done.
    """

    def __init__(self, engine: Any, deliveries: Deliveries, texts: TextGroup, work: WorkQueue) -> None:
        self.engine, self.model, self._deliveries = engine, engine.model, deliveries
        self._texts, self._work = texts, work
        self.records: dict[str, Record] = {}
        self.state_bytes = 0
        self.pushes = self.batches = 0  # made so far
        self._ready: FairQueue[Record] = FairQueue()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to do at once."""
        return bool(self._ready)

    @property
    def is_empty(self) -> bool:
        """Whether no session has anything to do."""
        return not any(record.tasks for record in self.records.values())

    def open(self, record: Record, reply: Any, source: str | None, state: bytes | None) -> None:
        """Open a session, of a source or from a saved state."""

        def make() -> Steps:
            is_restored = state is not None and self.model.task == "translate"
            record.session = self.model.session("" if is_restored else source)
            yield
            if state is not None:
                record.session.restore(state)
            if not record.is_closed:  # nobody waits for it any more
                self.opened(record)
            return record.description

        self._work.put(Work(record.client, make(), reply.answer, reply.fail))

    def give_up(self, record: Record) -> None:
        """Forget a session that nobody has been told of."""
        if record.id in self.records:
            self.close(record)
        else:
            record.is_closed = True
            self._deliveries.add(self.engine.forget, record)

    def call(self, task: SessionTask) -> None:
        """Do something with a session, after what it was asked before."""
        record = task.record
        if record.is_closed:
            task.fail(_closed(record))
            return
        record.tasks.append(task)
        record.used = time.monotonic()
        if len(record.tasks) == 1:
            self._ready.put(record.client, record)

    def begin_ready(self) -> None:
        """Begin the first task of each session that is ready; short pushes are made together."""
        together: list[tuple[Push, Any]] = []
        for _ in range(min(len(self._ready), _TOGETHER)):
            task = self._ready.pop().tasks[0]
            try:
                piece = _short_piece(self.model, task)
            except StepscanError as error:
                self._finish(task, error)
                continue
            if piece is None:
                self._begin(task)
            else:
                together.append((task, piece))
        if together:
            self.batches += 1
            self._push(together)

    def close_idle(self) -> None:
        """Close sessions that nobody used for as long as their time to live."""
        now = time.monotonic()
        for record in list(self.records.values()):
            if not record.tasks and now - record.used > record.settings.ttl:
                self.close(record)

    # For tasks: --------------------------------------------------------------------------------------------------

    def opened(self, record: Record) -> None:
        """A session was made."""
        self.records[record.id] = record
        record.used = time.monotonic()
        self._measure_and_keep(record)

    def adopted(self, record: Record) -> None:
        """A session was restored from disk; before the thread runs."""
        self.records[record.id] = record
        self.state_bytes += record.measure()

    def went_back(self, record: Record) -> None:
        """A session is in an earlier state again."""
        self._measure_and_keep(record)

    def changed(self, record: Record, before: Any) -> None:
        """A session has read something; `before` is the snapshot of the state before, if one was made."""
        if record.settings.rollback and before is not None and self.engine.has_room_for_states:
            record.earlier.append(Earlier(record.position, before))
        record.position += 1
        self._measure_and_keep(record)

    def close(self, record: Record) -> None:
        """Close a session; what waits for it is answered with an error."""
        record.is_closed = True
        self.records.pop(record.id, None)
        self.state_bytes -= record.nbytes
        if record.settings.durable:
            self.engine.journal.forget(record.id)
        for task in list(record.tasks)[1:]:
            task.fail(_closed(record))
        self._deliveries.add(self.engine.forget, record)

    def _measure_and_keep(self, record: Record) -> None:
        self.state_bytes += record.measure()
        if record.settings.durable:
            self.engine.journal.keep(record)

    # -------------------------------------------------------------------------------------------------------------

    def _push(self, together: list[tuple[Push, Any]]) -> None:
        sessions, pieces = [task.record.session for task, _ in together], [piece for _, piece in together]
        before = [task.record.session.snapshot() if task.record.settings.rollback else None for task, _ in together]
        try:
            results = self.model.push_batch(sessions, pieces)
        except Exception as error:
            self._push_separately(together, error)
            return
        self.pushes += len(together)
        for (task, _), old, result in zip(together, before, results, strict=True):
            self.changed(task.record, old)
            try:
                task.reply.answer(task.answer(result))
            except Exception as error:
                log_unexpected(error)
                task.fail(error)
            self._finish(task)

    def _push_separately(self, together: list[tuple[Push, Any]], error: Exception) -> None:
        """Push what failed together: all sessions are as they were before."""
        if len(together) == 1:
            log_unexpected(error)
            self._finish(together[0][0], error)
            return
        for pair in together:
            self._push([pair])

    def _begin(self, task: SessionTask) -> None:
        if isinstance(task, Generate):
            task.text.on_end = lambda: self._finish(task)
            self._texts.put(task.text)
            return

        def done(value: Any) -> None:
            task.reply.answer(value)
            self._finish(task)

        self._work.put(Work(task.record.client, task.run(self), done, lambda error: self._finish(task, error)))

    def _finish(self, task: SessionTask, error: Exception | None = None) -> None:
        """A task has ended; the next one of its session may begin."""
        record = task.record
        if error is not None:
            task.fail(error)
        record.tasks.popleft()
        record.used = time.monotonic()
        if record.tasks and not record.is_closed:
            self._ready.put(record.client, record)


def _short_piece(model: Any, task: SessionTask) -> Any:
    """What a push reads, if it can be read together with others; None for other tasks."""
    if not isinstance(task, Push):
        return None
    task.check()
    piece = as_piece(model, task.items)
    return piece if is_short(piece) else None


def _closed(record: Record) -> Exception:
    return not_found(f"session: expected one that is open, got {record.id!r}, which was closed")
