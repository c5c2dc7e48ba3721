"""The texts that a model is writing: all of them get a symbol at each step."""

from __future__ import annotations

import time
from typing import Any

from stepscan.models.texts import joint
from stepscan.serving.errors import busy
from stepscan.serving.fair_queue import FairQueue
from stepscan.serving.logs import log_unexpected
from stepscan.serving.prefixes import PrefixTree
from stepscan.serving.text_task import TextTask
from stepscan.serving.work import Work, WorkQueue

_SECONDS_PER_READER = 1e-4  # that the event loop takes to send what a text has written, about


class TextGroup:
    """Texts that wait, whose prompts are read, and that are written. Used by one thread.

    Args:
        model: the runtime model.
        options: those of the server.
        work: where prompts are read.
    """

    def __init__(self, model: Any, options: Any, work: WorkQueue) -> None:
        self.model, self.options, self._work = model, options, work
        self.prefixes = PrefixTree(options.prefix_memory * 2**20)
        self.steps = self.symbols = 0  # made so far
        self._waiting: FairQueue[TextTask] = FairQueue()
        self._running: list[TextTask] = []
        self._held: list[TextTask] = []  # whose readers are behind
        self._preparing = 0
        self._joint: Any = None  # the running ones, while they stay the same
        self._woken = 0.0

    @property
    def count(self) -> int:
        """Texts that have a place."""
        return len(self._running) + len(self._held) + self._preparing

    @property
    def is_ready(self) -> bool:
        """Whether there is something to do at once."""
        return bool(self._running or (self._waiting and self._has_place))

    @property
    def is_empty(self) -> bool:
        """Whether no text is waiting, or being written."""
        return not (self._waiting or self.count)

    @property
    def _has_place(self) -> bool:
        return self.count < self.options.streams

    @property
    def has_held(self) -> bool:
        """Whether texts wait for their readers."""
        return bool(self._held)

    def put(self, task: TextTask) -> None:
        """Write a text, as soon as there is a place for it."""
        self._waiting.put(task.client, task)

    def admit(self) -> None:
        """Give places to texts that wait; their prompts are read."""
        while self._waiting and self._has_place:
            task = self._waiting.pop()
            if task.channel.is_cancelled:
                self._leave(task)
            elif time.monotonic() - task.created > self.options.queue_time:
                task.channel.fail(busy(f"expected a place within {self.options.queue_time:g} seconds, got none"))
                self._leave(task)
            else:
                self._prepare(task)

    def step(self) -> None:
        """Write a symbol of each text that is running."""
        if not self._running:
            return
        try:
            if self._joint is None:
                self._joint = joint(self.model, [task.text for task in self._running])
            written = self._joint.step()
        except Exception as error:
            log_unexpected(error)
            self._fail_all(error)
            return
        self.steps += 1
        self.symbols += len(written)
        for task, symbol in zip(self._running, written, strict=True):
            if task.channel.is_cancelled or self._has_ended(task, symbol):
                self._leave(task)
            elif task.channel.is_full:
                self._hold(task)
        self._wake_readers()
        if not all(task.is_running for task in self._running):
            self._running = [task for task in self._running if task.is_running]
            self._joint = None

    def look_at_held(self) -> None:
        """Go on with texts whose readers have read; end those whose readers take too long."""
        for task in list(self._held):
            if time.monotonic() - task.held_since > self.options.client_timeout:
                task.channel.cancel()
            if task.channel.is_cancelled:
                self._held.remove(task)
                self._leave(task)
            elif not task.channel.is_full:
                self._held.remove(task)
                self._run(task)

    def _has_ended(self, task: TextTask, symbol: Any) -> bool:
        """Give a text its symbol; whether it has ended."""
        try:
            return task.accept(symbol)
        except Exception as error:
            log_unexpected(error)
            task.channel.fail(error)
            return True

    def _prepare(self, task: TextTask) -> None:
        def done(_: Any) -> None:
            self._preparing -= 1
            if task.channel.is_cancelled or task.end_if_empty():
                self._leave(task)
            else:
                self._run(task)

        def failed(error: Exception) -> None:
            self._preparing -= 1
            task.channel.fail(error)
            self._leave(task)

        self._preparing += 1
        self._work.put(Work(task.client, task.prepare(self.prefixes), done, failed))

    def _run(self, task: TextTask) -> None:
        task.is_running = True
        self._running.append(task)
        self._joint = None

    def _hold(self, task: TextTask) -> None:
        task.is_running, task.held_since = False, time.monotonic()
        self._held.append(task)

    def _leave(self, task: TextTask) -> None:
        task.is_running = False
        if task.on_end is not None:
            task.on_end()

    def _fail_all(self, error: Exception) -> None:
        for task in self._running:
            task.channel.fail(error)
            self._leave(task)
        self._running, self._joint = [], None

    def _wake_readers(self) -> None:
        """Wake the readers; with many texts not after each step, which the event loop could not follow."""
        now = time.monotonic()
        is_due = now - self._woken >= _SECONDS_PER_READER * len(self._running)
        if is_due:
            self._woken = now
        for task in self._running:
            if task.channel.eager and (is_due or task.count == 1):
                task.channel.wake()
