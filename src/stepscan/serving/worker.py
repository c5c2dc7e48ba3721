"""The thread of a model that predicts: requests of one kind make batches, large ones are divided and take turns."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stepscan.serving.deliveries import Deliveries, Reply
from stepscan.serving.errors import busy
from stepscan.serving.fair_queue import FairQueue
from stepscan.serving.logs import log_unexpected

_TOGETHER = 64  # inputs of a batch, at most
_LETTERS = 2**15  # of a batch, or items, unless one input alone has more
_IDLE = 1.0  # seconds


class Operation(NamedTuple):
    """What is computed; requests with the same operation make batches."""

    run: Callable[..., list[bytes]]  # (model, inputs, arguments) → the answer for each input, as JSON
    arguments: tuple[Any, ...] = ()  # hashable


class Prediction:
    """A request.

    Args:
        operation: what is computed.
        inputs: of which, at least one.
        reply: gets the answers, as JSON each.
        client: who asked, for taking turns.
    """

    def __init__(self, operation: Operation, inputs: Sequence[Any], reply: Reply, client: str) -> None:
        self.operation, self.inputs, self.reply, self.client = operation, inputs, reply, client
        self.created = time.monotonic()
        self.answers: list[bytes] = []

    @property
    def rest(self) -> int:
        """Inputs that are not answered yet."""
        return len(self.inputs) - len(self.answers)


class Worker(threading.Thread):
    """Computes predictions.

    Args:
        engine: the served model.
        deliveries: the way to the event loop.
    """

    def __init__(self, engine: Any, deliveries: Deliveries) -> None:
        super().__init__(name=f"worker of {engine.name}", daemon=True)
        self.model, self._options, self.deliveries = engine.model, engine.options, deliveries
        self._inbox: queue.SimpleQueue[Prediction | None] = queue.SimpleQueue()
        self._queues: OrderedDict[Operation, FairQueue[Prediction]] = OrderedDict()
        self.inputs = self.batches = 0  # computed so far

    def submit(self, prediction: Prediction) -> None:
        """Compute a prediction; for the event loop."""
        self._inbox.put(prediction)

    def end(self) -> None:
        """Let the thread end after what it was asked before; for the event loop."""
        self._inbox.put(None)

    def run(self) -> None:
        is_ending = False
        while not (is_ending and not self._queues):
            is_ending = self._take() or is_ending
            if self._queues:
                self._compute(*self._next_batch())
            self.deliveries.send()

    def _take(self) -> bool:
        """Take what was submitted; wait for it if there is nothing else to do. Whether the thread is to end."""
        try:
            prediction = self._inbox.get(block=not self._queues, timeout=_IDLE)
            while prediction is not None:
                queued = self._queues.setdefault(prediction.operation, FairQueue())
                queued.put(prediction.client, prediction)
                prediction = self._inbox.get_nowait()
            return True
        except queue.Empty:
            return False

    def _next_batch(self) -> tuple[Operation, list[tuple[Prediction, int]]]:
        """Predictions of the next operation, each with how many of its inputs are computed now."""
        operation, queued = next(iter(self._queues.items()))
        self._queues.move_to_end(operation)
        batch: list[tuple[Prediction, int]] = []
        inputs = items = 0
        while queued and inputs < _TOGETHER and items < _LETTERS:
            prediction = queued.pop()
            if self._is_dropped(prediction):
                continue
            count = 0
            for one in prediction.inputs[len(prediction.answers) :]:
                if inputs and (inputs >= _TOGETHER or items + len(one) > _LETTERS):
                    break
                count, inputs, items = count + 1, inputs + 1, items + len(one)
            if count:
                batch.append((prediction, count))
            else:
                queued.put(prediction.client, prediction)
                break
        if not queued:
            del self._queues[operation]
        return operation, batch

    def _is_dropped(self, prediction: Prediction) -> bool:
        """Whether nobody waits for a prediction any more, or it has waited for too long."""
        if not prediction.reply.is_wanted:
            return True
        seconds = self._options.queue_time
        if prediction.answers or time.monotonic() - prediction.created <= seconds:
            return False
        prediction.reply.fail(busy(f"expected a turn within {seconds:g} seconds, got none"))
        return True

    def _compute(self, operation: Operation, batch: list[tuple[Prediction, int]]) -> None:
        inputs = [one for prediction, count in batch for one in _part(prediction, count)]
        if not inputs:
            return
        try:
            answers = operation.run(self.model, inputs, *operation.arguments)
        except Exception as error:
            if len(batch) > 1:
                for pair in batch:
                    self._compute(operation, [pair])
            else:
                log_unexpected(error)
                batch[0][0].reply.fail(error)
            return
        self.batches += 1
        self.inputs += len(inputs)
        start = 0
        for prediction, count in batch:
            prediction.answers += answers[start : start + count]
            start += count
            self._go_on(prediction)

    def _go_on(self, prediction: Prediction) -> None:
        if prediction.rest:
            queued = self._queues.setdefault(prediction.operation, FairQueue())
            queued.put(prediction.client, prediction)
        else:
            prediction.reply.answer(prediction.answers)


def _part(prediction: Prediction, count: int) -> Sequence[Any]:
    return prediction.inputs[len(prediction.answers) : len(prediction.answers) + count]
