"""The thread of a model that steps: texts that are being written, and sessions with something to read."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from stepscan.serving.deliveries import Deliveries
from stepscan.serving.logs import log_unexpected
from stepscan.serving.session_group import SessionGroup
from stepscan.serving.text_group import TextGroup
from stepscan.serving.work import WorkQueue

_SLICE = 0.002  # seconds of longer work between two steps
_SWEEP = 1.0  # seconds between two looks for what is out of time
_HELD = 0.05  # likewise, while readers are behind


class Stepper(threading.Thread):
    """Makes one step of all that is ready, again and again, with a slice of longer work between two steps.

    Args:
        engine: the served model.
        deliveries: the way to the event loop.
    """

    def __init__(self, engine: Any, deliveries: Deliveries) -> None:
        super().__init__(name=f"stepper of {engine.name}", daemon=True)
        self.deliveries, self._journal = deliveries, engine.journal
        self._work = WorkQueue()
        self.texts = TextGroup(engine.model, engine.options, self._work)
        self.sessions = SessionGroup(engine, deliveries, self.texts, self._work)
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._swept = time.monotonic()
        self._is_ending = False

    def submit(self, call: Callable[..., None], *arguments: Any) -> None:
        """Let the thread call something soon; for the event loop."""
        self._inbox.put((call, arguments))

    def end(self) -> None:
        """Let the thread end after all that it was asked before; for the event loop."""
        self.submit(setattr, self, "_is_ending", True)

    def run(self) -> None:
        while not (self._is_ending and self.is_done):
            try:
                self._turn()
            except Exception as error:  # a fault of ours must not end the thread, on which all others wait
                log_unexpected(error)
        if self._journal is not None:
            self._journal.end()  # nobody else writes

    def _turn(self) -> None:
        self._take()
        self.sessions.begin_ready()
        self.texts.step()
        self.texts.admit()
        self._work.run(_SLICE)
        self._sweep()
        self._send()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.texts.is_empty and self.sessions.is_empty and not self._work

    def _take(self) -> None:
        """Take what was submitted; wait for it if there is nothing else to do."""
        is_idle = not (self.texts.is_ready or self.sessions.is_ready or self._work)
        try:
            call, arguments = self._inbox.get(block=is_idle, timeout=_HELD if self.texts.has_held else _SWEEP)
            while True:
                call(*arguments)
                call, arguments = self._inbox.get_nowait()
        except queue.Empty:
            pass

    def _sweep(self) -> None:
        if self.texts.has_held:
            self.texts.look_at_held()
        if time.monotonic() - self._swept >= _SWEEP:
            self._swept = time.monotonic()
            self.sessions.close_idle()

    def _send(self) -> None:
        if self._journal is None or not self._journal.commit(self.deliveries):
            self.deliveries.send()
