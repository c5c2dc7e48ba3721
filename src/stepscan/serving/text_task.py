"""A text that is written for a request: the prompt is read in pieces, then a symbol is written at each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from stepscan.backends.native_arrays import address
from stepscan.decoding import Sampler
from stepscan.errors import StepscanError
from stepscan.kernels.native import library
from stepscan.models.growing_text import GrowingText, StopSearch
from stepscan.models.texts import IteratedText, Text, WritingRequest, Written
from stepscan.models.translator import default_length
from stepscan.serving.channel import Channel, Ending, Symbol
from stepscan.serving.prefixes import BLOCK, PrefixState, PrefixTree

_LENGTH = 500  # symbols, unless a request says otherwise


class TextRequest(NamedTuple):
    """What is written, and how."""

    sampler: Sampler
    length: int | None  # symbols, at most; None: 500, or by the source's length
    prompt: str = ""
    source: str = ""  # of a translation
    seed: int | None = None
    stop: Sequence[str] = ()
    forbidden: Sequence[str] = ()
    allowed: Sequence[str] = ()
    measured: bool = False  # whether the probability of each symbol is wanted


class TextTask:
    """A text of a request. All methods are for the thread that writes.

    Args:
        model: the runtime model.
        request: what is written.
        channel: where the symbols go.
        client: who asked, for taking turns.
    """

    def __init__(self, model: Any, request: TextRequest, channel: Channel, client: str) -> None:
        self.model, self.request, self.channel, self.client = model, request, channel, client
        self.created = time.monotonic()
        self.text: Any = None  # once the prompt is read
        self.length = 0  # symbols, at most
        self.count = 0
        self.is_running, self.held_since = False, 0.0
        self.on_end: Callable[[], None] | None = None
        self._prompt_symbols = self._known_symbols = 0
        self._tokenizer = model.tokenizers_["tokenizer"]
        is_language_model = model.task == "generate"
        self._growing = GrowingText(self._tokenizer, keeps_lines=is_language_model and self._tokenizer.drops_space)
        self._stops = StopSearch(request.stop)
        self._lead = ""  # between the prompt and the first word

    def prepare(self, prefixes: PrefixTree) -> Iterator[None]:
        """Read the prompt, with a pause after each piece."""
        if self.model.task == "translate":
            yield from self._prepare_translation()
        else:
            yield from self._prepare_text(prefixes)

    def accept(self, written: Written | None) -> bool:
        """Take the symbol of a step; whether the text has ended."""
        if written is None:
            self.channel.fail(StepscanError("expected finite scores and a symbol that may be written, got none"))
            return True
        if self.model.task == "translate" and written.id == self._tokenizer.end:
            self._end("end")
            return True
        shown, is_stopped = self._stops.add(self._growing.add(written.id))
        self.count += 1
        self.channel.put(Symbol(self._led(shown), written.id, written.probability))
        if is_stopped or self.count >= self.length:
            self._end("stop" if is_stopped else "length")
        return is_stopped or self.count >= self.length

    def end_if_empty(self) -> bool:
        """End the text if no symbol is to be written; whether that is so."""
        if not self.length:
            self._end("length")
        return not self.length

    def commit(self) -> None:
        """What follows a text that has ended, before its reader is told."""

    def _end(self, reason: str) -> None:
        rest = ""
        if reason != "stop":
            shown, is_stopped = self._stops.add(self._growing.finish())
            rest = self._led(shown + ("" if is_stopped else self._stops.finish()))
        try:
            self.commit()
        except StepscanError as error:
            self.channel.fail(error)
            return
        self.channel.end(Ending(rest, reason, self.count, self._prompt_symbols, self._known_symbols))

    def _led(self, text: str) -> str:
        """A piece of the text, with what comes before the first one."""
        if not text or not self._lead:
            return text
        lead, self._lead = self._lead, ""
        return f"{lead}{text}" if text[:1].strip() else text

    def _writing(self, excluded: Sequence[int]) -> WritingRequest:
        return WritingRequest(self.request.sampler, self.request.seed, excluded, self.request.measured)

    def _prepare_text(self, prefixes: PrefixTree) -> Iterator[None]:
        model, request = self.model, self.request
        writing = self._writing(model.excluded_ids(request.forbidden, request.allowed))
        self.length = self._asked_length()
        if model._keeps_lines and request.prompt[-1:].strip():
            self._lead = " "
        ids = [model.begin_id, *model.encode(request.prompt)]
        self._prompt_symbols = len(ids) - 1
        yield
        if model.writer is None:
            self.text = IteratedText(model, ids, writing)
            return
        layer = model.network_.layer
        stream, y = library.Stream(layer.native), np.zeros(layer.output_size, np.float32)
        start, known = prefixes.longest(ids)
        if known is not None:
            stream.write(address(known.layers), layer.capacity(known.layers))
            y = known.y.copy()
        self._known_symbols = max(0, start - 1)
        while start < len(ids) and not self.channel.is_cancelled:
            end = min((start // BLOCK + 1) * BLOCK, len(ids))
            y, start = read_ids(model, stream, ids[start:end]), end
            if prefixes.worth_keeping(end, len(ids)):
                prefixes.keep(ids[:end], PrefixState(stream_state(model, stream), y.copy()))
            yield
        self.text = Text(model, stream, y, writing)

    def _prepare_translation(self) -> Iterator[None]:
        request = self.request
        session = self.model.session(request.source)
        yield
        if request.prompt:
            session.push(request.prompt)
            yield
        self._prompt_symbols = len(self._tokenizer.encode(request.prompt))
        self.text = session.text(self._writing(()))
        self.length = self._asked_length()

    def _asked_length(self) -> int:
        """How many symbols are written, at most; by default, those of a translation by its source, which was read."""
        length = self.request.length
        if self.model.task == "translate":
            return default_length(self.text.state.source) if length is None else length
        return self.model.check_length(_LENGTH if length is None else length)


def read_ids(model: Any, stream: Any, ids: Sequence[int]) -> np.ndarray:
    """Advance a stream by ids; the layers' last output `[H]`.

    Raises:
        StepscanError: the state would not be finite.
    """
    network = model.network_
    vectors = np.ascontiguousarray(network.embedding(network.batch([ids])).data[0], np.float32)
    outputs = np.empty((len(ids), network.layer.output_size), np.float32)
    if not stream.push(vectors, outputs, model.threads):
        raise StepscanError("prompt: expected one that the model can take, got one after which its state is not finite")
    return outputs[-1]


def stream_state(model: Any, stream: Any) -> np.ndarray:
    """A copy of a stream's state `[1, S]`."""
    layer, items = model.network_.layer, stream.items
    state = np.empty((1, layer.state_size + items * layer.cache_size), np.float32)
    stream.read(address(state), items)
    return state
