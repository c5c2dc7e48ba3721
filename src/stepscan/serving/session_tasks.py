"""What is done with a session, by the thread that steps."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from stepscan.errors import StepscanError
from stepscan.json_text import json_text
from stepscan.serving.deliveries import Reply
from stepscan.serving.errors import conflict
from stepscan.serving.pieces import as_piece, cut, joined_results
from stepscan.serving.record import Record
from stepscan.serving.session_results import result_of

Steps = Generator[None, None, Any]  # pieces of work, and what they return


class SessionTask:
    """One call of a session; subclasses say what it does.

    Args:
        record: the session.
        reply: what is answered.
    """

    changes = True  # whether the session is another one afterwards

    def __init__(self, record: Record, reply: Reply) -> None:
        self.record, self.reply = record, reply

    def run(self, sessions: Any) -> Steps:
        """Do it, with a pause after each piece of work; returns the answer."""
        raise NotImplementedError
        yield

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        self.reply.fail(error)


class Push(SessionTask):
    """Read more.

    Args:
        record: the session.
        reply: gets the answer as JSON.
        items: what is read.
        position: where the session must be; None: anywhere.
        with_probabilities: whether all probabilities are answered.
    """

    def __init__(
        self, record: Record, reply: Any, items: Any, *, position: int | None = None, with_probabilities: bool = False
    ) -> None:
        super().__init__(record, reply)
        self.items, self.position, self.with_probabilities = items, position, with_probabilities

    def check(self) -> None:
        """Raise an `ApiError` unless the session is where it must be."""
        check_position(self.record, self.position)

    def answer(self, result: Any) -> bytes:
        """The answer, given what `push` returned."""
        record = self.record
        described = result_of(record.engine.model, record.session, result, self.with_probabilities)
        return json_text({"position": record.position, "result": described}).encode()

    def run(self, sessions: Any) -> Steps:
        self.check()
        session, model, results = self.record.session, self.record.engine.model, []
        before = session.snapshot()
        try:
            for piece in cut(model, as_piece(model, self.items)):
                results.append(session.push(piece))
                yield
        except StepscanError:
            session.return_to(before)
            raise
        sessions.changed(self.record, before)
        return self.answer(joined_results(model, results))


class Rollback(SessionTask):
    """Go back to an earlier state.

    Args:
        record: the session.
        reply: gets the session's description.
        position: of the state.
    """

    def __init__(self, record: Record, reply: Reply, position: int) -> None:
        super().__init__(record, reply)
        self.position = position

    def run(self, sessions: Any) -> Steps:
        record, position = self.record, self.position
        if position != record.position:
            found = next((one for one in record.earlier if one.position == position), None)
            if found is None:
                kept = [one.position for one in record.earlier] + [record.position]
                raise conflict(f"position: expected one of the states that are kept, {kept}, got {position}")
            record.session.return_to(found.snapshot)
            while record.earlier and record.earlier[-1].position >= position:
                record.earlier.pop()
            record.position = position
            sessions.went_back(record)
        return record.description
        yield


class Save(SessionTask):
    """The state as bytes, with the position."""

    changes = False

    def run(self, sessions: Any) -> Steps:
        return self.record.position, self.record.session.state()
        yield


class Restore(SessionTask):
    """Continue from saved bytes.

    Args:
        record: the session.
        reply: gets the session's description.
        state: the bytes.
    """

    def __init__(self, record: Record, reply: Reply, state: bytes) -> None:
        super().__init__(record, reply)
        self.state = state

    def run(self, sessions: Any) -> Steps:
        before = self.record.session.snapshot()
        self.record.session.restore(self.state)
        sessions.changed(self.record, before)
        return self.record.description
        yield


class Fork(SessionTask):
    """A second session in the same state.

    Args:
        record: the session.
        reply: gets the other's description.
        other: the other one, not yet open.
    """

    changes = False

    def __init__(self, record: Record, reply: Reply, other: Record) -> None:
        super().__init__(record, reply)
        self.other = other

    def run(self, sessions: Any) -> Steps:
        self.other.session, self.other.position = self.record.session.fork(), self.record.position
        sessions.opened(self.other)
        return self.other.description
        yield


class LookAhead(SessionTask):
    """Forecast.

    Args:
        record: the session.
        reply: gets the answer as JSON.
        arguments: of `ForecastSession.forecast`.
    """

    changes = False

    def __init__(self, record: Record, reply: Reply, arguments: dict[str, Any]) -> None:
        super().__init__(record, reply)
        self.arguments = arguments

    def run(self, sessions: Any) -> Steps:
        forecast = self.record.session.forecast(**self.arguments)
        described = {name: values.tolist() for name, values in forecast._asdict().items()}
        return json_text({"forecast": described}).encode()
        yield


class Close(SessionTask):
    """Close it."""

    changes = False

    def run(self, sessions: Any) -> Steps:
        sessions.close(self.record)
        return None
        yield


def check_position(record: Record, position: int | None) -> None:
    """Check that a session is where a request supposes.

    Raises:
        ApiError: it is not.
    """
    if position is not None and position != record.position:
        raise conflict(f"position: expected {record.position}, where the session is, got {position}")
