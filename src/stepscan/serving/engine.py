"""A model that is served, with its threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stepscan.errors import StepscanError
from stepscan.serving.deliveries import Deliveries
from stepscan.serving.gate import Gate
from stepscan.serving.record import Record
from stepscan.serving.stepper import Stepper
from stepscan.serving.worker import Worker

_MOST_LABELS = 1000  # that are listed


class Engine:
    """A model that is served: the thread that steps, the one that predicts, and what is let in.

    Args:
        name: the name that it is served under.
        model: the runtime model.
        served: all that is served: for its options and event loop, and what it knows of sessions.
        journal: what makes its sessions durable; None: nothing does.
    """

    def __init__(self, name: str, model: Any, served: Any, journal: Any = None) -> None:
        self.name, self.model, self.options, self.journal = name, model, served.options, journal
        self._served = served
        options = served.options
        self.predictions = Gate(options.queue, "requests")
        self.texts = Gate(options.streams + options.queue, "texts")
        self.pushes = Gate(options.queue, "calls of sessions")
        self.stepper = Stepper(self, Deliveries(served.loop))
        self.worker = Worker(self, Deliveries(served.loop))
        self.records: dict[str, Record] = {}  # its open sessions; for the event loop
        self.why_no_sessions = _why_no_sessions(model)
        self._has_attention = has_attention(model) if model.task == "translate" else None
        self._users = 0
        self._is_retired = self.is_ended = False

    def start(self) -> None:
        """Start the threads."""
        self.stepper.start()
        self.worker.start()
        if self.journal is not None:
            self.journal.start()

    @contextmanager
    def in_use(self) -> Iterator[Engine]:
        """A context in which the engine does not end."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            self._end_if_done()

    def retire(self) -> None:
        """End as soon as nobody uses it and its sessions are closed."""
        self._is_retired = True
        self._end_if_done()

    def revive(self) -> None:
        """Be served again, after `retire` and before the end."""
        self._is_retired = False

    def end(self) -> None:
        """Let the threads end after what they were asked to do."""
        if not self.is_ended:
            self.is_ended = True
            self.stepper.end()
            self.worker.end()

    def join(self, timeout: float) -> None:
        """Wait for the threads, which were told to end."""
        self.stepper.join(timeout)
        self.worker.join(timeout)
        if self.journal is not None:
            self.journal.end()  # also if the stepper, which ends it, is stuck
            self.journal.join(timeout)

    def forget(self, record: Record) -> None:
        """A session was closed; for the event loop."""
        self.records.pop(record.id, None)
        if self._served.records.get(record.id) is record:
            del self._served.records[record.id]
        self._end_if_done()

    @property
    def has_room_for_states(self) -> bool:
        """Whether the states of all sessions take less than they may."""
        return self._served.state_bytes < self.options.state_memory * 2**20

    @property
    def description(self) -> dict[str, Any]:
        """What is answered about the model."""
        model = self.model
        labels = model.labels_
        return {
            **{"id": self.name, "object": "model", "created": 0, "owned_by": "stepscan", "task": model.task},
            **{"inputs": inputs_of(model), "dimensions": None if model.tokenizers_ else model.network_.embedding.size},
            "labels": None if labels is None else labels[:_MOST_LABELS],
            **{"sessions": not self.why_no_sessions, "why_no_sessions": self.why_no_sessions or None},
            "attention": self._has_attention,
            "symbols": len(model.tokenizers_["tokenizer"]) if "tokenizer" in model.tokenizers_ else None,
            "problem_type": getattr(model, "problem_type", None),
            "fingerprint": model.fingerprint.hex(),
        }

    def _end_if_done(self) -> None:
        if self._is_retired and not self._users and not self.records:
            self.end()


def inputs_of(model: Any) -> str:
    """What a model reads: `texts`, `tokens` or `series`."""
    if not model.tokenizers_:
        return "series"
    return "tokens" if model.task == "tag" else "texts"


def has_attention(model: Any) -> bool:
    """Whether a translator attends to its source."""
    return model.session("").attention is not None


def _why_no_sessions(model: Any) -> str:
    """Why a model has no sessions; empty if it has."""
    try:
        model.session("" if model.task == "translate" else None)
    except StepscanError as error:
        return str(error)
    return ""
