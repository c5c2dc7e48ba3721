"""Sessions: one sequence each that is going on, pushed item by item or in pieces of any size, thousands at a time.

A session's answers are those of the whole sequence at once, to the bit, whatever the pieces; `step_many` gives each
session what it would have been given alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

from stepscan.decoding import Sampler, row_randoms
from stepscan.errors import SettingsError, StepscanError
from stepscan.kernels.native import library
from stepscan.runtime.examples import checked_texts
from stepscan.runtime.layers import Array, address
from stepscan.runtime.probabilities import softmax
from stepscan.runtime.series import checked_series

_MODEL, _STATE = "model", "state"  # names in a saved session, beside what its kind keeps


class Session:
    """A sequence that is going on. `model.session()` makes one; it may be used from any thread.

    Args:
        model: of the runtime.

    Raises:
        SettingsError: the model cannot go one step at a time; the layer that is to blame is named.
    """

    def __init__(self, model: Any) -> None:
        model.network_.layer.check_causal()
        self._model, self._network = model, model.network_
        self._stream = library.Stream(self._network.layer.native)
        self._lock = threading.Lock()
        self._kept: dict[str, Array] = {}
        self.reset()

    def push(self, items: Any) -> Any:
        """Read more of the sequence, and say what comes of it: see the session's kind."""
        vectors = self._vectors(self._model, [items])[0]
        with self._lock:
            return self._answer(self._pushed(vectors))

    def reset(self) -> None:
        """Begin a new sequence."""
        with self._lock:
            self._write(np.zeros((1, self._network.layer.state_size), np.float32))
            self._begin()

    def state(self) -> bytes:
        """All that is needed to go on, on another machine too: `restore` takes it, of a session of the same model."""
        with self._lock:
            kept = dict(self._kept)
            tensors = {_MODEL: np.frombuffer(self._model.fingerprint, np.uint8), _STATE: self._read(), **kept}
        return write_tensors(tensors)

    def restore(self, state: bytes) -> Self:
        """Go on from where a session was when its `state` was taken.

        Raises:
            StepscanError: the bytes are no session's state, or one of another model.
        """
        try:
            tensors = read_tensors(state)
        except (SafetensorError, TypeError, ValueError, KeyError) as error:
            raise StepscanError(f"these {len(state)} bytes are no state of a session: {error}") from None
        model, saved = tensors.pop(_MODEL, None), tensors.pop(_STATE, None)
        if model is None or model.tobytes() != self._model.fingerprint:
            raise StepscanError(f"this is the state of a session of another model than {self._model.path}")
        with self._lock:
            expected = {name: (array.shape, array.dtype) for name, array in self._kept.items()}
            found = {name: (array.shape, array.dtype) for name, array in tensors.items()}
            shape = (1, self._network.layer.state_size)
            if saved is None or (saved.shape, saved.dtype) != (shape, np.float32) or found != expected:
                raise StepscanError(
                    "these bytes are no whole state of a session of this kind: an array is not as expected"
                )
            self._write(saved)
            self._kept = {name: array.copy() for name, array in tensors.items()}
        return self

    def fork(self) -> Self:
        """A second session that has read what this one has; from here on they go their own ways."""
        twin = type(self)(self._model)
        with self._lock:
            twin._write(self._read())
            twin._kept = {name: array.copy() for name, array in self._kept.items()}
        return twin

    # What a kind of session writes: ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Put what is kept beside the layers' state at its beginning."""

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any]) -> Array:
        """What the layers read: `[N, T, E]` for N pieces of equal length."""
        raise NotImplementedError

    def _keep(self, outputs: Array) -> None:
        """Take note of the layers' outputs `[T, H]` for the items just read."""

    def _answer(self, outputs: Array) -> Any:
        """What `push` returns, given the same outputs."""
        return self._answers(self._model, [self], outputs[-1:])[0]

    @classmethod
    def _answers(cls, model: Any, sessions: Sequence[Any], outputs: Array) -> list[Any]:
        """What `step_many` returns, given an output `[N, H]` for each session."""
        raise NotImplementedError

    def _pushed(self, vectors: Array) -> Array:
        vectors = np.ascontiguousarray(vectors, np.float32)
        outputs = np.empty((len(vectors), self._network.layer.output_size), np.float32)
        self._stream.push(vectors, outputs, self._model.threads)
        self._keep(outputs)
        return outputs

    def _read(self) -> Array:
        state = np.empty((1, self._network.layer.state_size), np.float32)
        self._stream.read(address(state))
        return state

    def _write(self, state: Array) -> None:
        state = np.ascontiguousarray(state, np.float32)
        self._stream.write(address(state))


class TaggingSession(Session):
    """Tags as the sequence arrives: `push` takes tokens, or a piece `[T, D]` of a series, and returns their tags."""

    def __init__(self, model: Any) -> None:
        if hasattr(model.network_, "crf"):
            raise SettingsError(
                "a CRF decides the tags of a whole sentence together, so they cannot be told as it arrives: use predict"
            )
        super().__init__(model)
        self._block: _Block | None = None

    def push_block(self, block: Array, out: Array) -> Array:
        """A piece of a series → the probabilities of its steps' tags, in the order of `classes_`.

        Once the largest piece has been seen, nothing is allocated.

        Args:
            block: `[T, D]` of floats.
            out: `[T or more, tags]` of float32, where they are written.

        Returns:
            The first T rows of `out`.
        """
        with self._lock:
            if self._block is None or len(block) > self._block.capacity:
                self._block = _Block(self._model, max(1, len(block)))
            return self._block.run(self._stream, block, out)

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any]) -> Array:
        sentences = [_items(one) for one in several] if model.tokenizers_ else _pieces(model, several)
        return model.network_.embedding(model._reader(sentences)(range(len(sentences))))[0]

    def _answer(self, outputs: Array) -> list[Any]:
        return self._answers(self._model, [], outputs)

    @classmethod
    def _answers(cls, model: Any, sessions: Sequence[Any], outputs: Array) -> list[Any]:
        return model.classes_[model.network_.head(outputs).argmax(axis=1)].tolist() if len(outputs) else []


class DecidingSession(Session):
    """A running decision: `push` takes a text, or a piece `[T, D]` of a series, and returns what `stepscan predict`
    would say of all that was read. A text is cut into symbols piece by piece, so end pieces between words."""

    def _begin(self) -> None:
        size = self._network.layer.output_size
        self._kept = {
            "last": {},
            "mean": {"steps": np.zeros(1, np.int64), "total": np.zeros(size)},
            "max": {"steps": np.zeros(1, np.int64), "highest": np.full(size, -np.inf, np.float32)},
            "attention": {"most": np.full(1, -np.inf), "weight": np.zeros(1), "total": np.zeros(size)},
        }[self._network.pooling]

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any]) -> Array:
        return model.network_.embedding(model._read(several) if model.tokenizers_ else _pieces(model, several))[0]

    def _keep(self, outputs: Array) -> None:
        kept = self._kept
        if "steps" in kept:
            kept["steps"] += len(outputs)
        if "highest" in kept:
            np.maximum(kept["highest"], outputs.max(axis=0, initial=-np.inf), out=kept["highest"])
        elif "most" in kept:
            self._keep_attended(outputs)
        elif "total" in kept:
            for output in outputs:
                kept["total"] += output

    def _keep_attended(self, outputs: Array) -> None:
        """The softmax over all items so far, as sums below the greatest score."""
        kept, scores = self._kept, self._network.relevance_of(outputs).astype(np.float64)
        for score, output in zip(scores, outputs, strict=True):
            most = max(kept["most"][0], score)
            old, new = np.exp(kept["most"][0] - most), np.exp(score - most)
            kept["total"][:] = kept["total"] * old + output * new
            kept["weight"][:] = kept["weight"] * old + new
            kept["most"][:] = most

    def _feature(self) -> Array:
        kept = self._kept
        if "highest" in kept:
            return kept["highest"] if kept["steps"] else np.zeros_like(kept["highest"])
        if "weight" in kept:
            return (kept["total"] / (kept["weight"] or 1)).astype(np.float32)
        if "total" in kept:
            return kept["total"].astype(np.float32) / np.float32(max(1, kept["steps"][0]))
        return self._network.layer.readout(self._read())[0]

    @classmethod
    def _answers(cls, model: Any, sessions: Sequence[Any], outputs: Array) -> list[Any]:
        features = np.stack([session._feature() for session in sessions])
        return model._decision.rows(model.network_.judge(features), model.labels_)


class WritingSession(Session):
    """A text that is being written: `push` reads more of it and returns the probability `[V]` of each symbol to come
    next; `generate` writes on, and reads what it writes."""

    def _begin(self) -> None:
        self._kept = {"y": np.zeros((1, self._network.layer.output_size), np.float32)}
        self._write(self._network.initial_state(1))
        self._pushed(self._network.embedding.step(np.array([self._model._begin])))

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any]) -> Array:
        return model.network_.embedding([model._encode(text) for text in several])[0]

    def _keep(self, outputs: Array) -> None:
        if len(outputs):
            self._kept["y"][:] = outputs[-1]

    @classmethod
    def _answers(cls, model: Any, sessions: Sequence[Any], outputs: Array) -> list[Any]:
        outputs = np.concatenate([session._kept["y"] for session in sessions])
        return list(softmax(model.network_.score(outputs)))

    def generate(
        self,
        length: int = 500,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        forbidden: Sequence[str] = (),
        allowed: Sequence[str] = (),
        seed: int | None = None,
    ) -> str:
        """`length` symbols more, chosen as `LanguageModel.generate` does; the session has read them then."""
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        draws = row_randoms(seed, 1)[0].random(length)
        with self._lock:
            state = self._read()
            excluded = self._model._excluded(forbidden, allowed)
            ids = self._network.write(state, self._kept["y"], draws, sampler, excluded, self._model.threads)
            self._write(state)
        return self._model._decode(ids)


_KINDS: dict[str, type[Session]] = {"tag": TaggingSession, "classify": DecidingSession, "generate": WritingSession}


def session(model: Any) -> Any:
    """A new session of a model.

    Raises:
        SettingsError: the model has none: it translates, or looks at what is still to come.
    """
    if model.task not in _KINDS:
        raise SettingsError("a translator reads a whole text before it writes, so it has no session: use translate")
    return _KINDS[model.task](model)


def step_many(model: Any, sessions: Sequence[Session], items: Sequence[Any]) -> list[Any]:
    """One item for each of several sessions of a model, all in one batch; what each `push` would have returned.

    Args:
        sessions: each once.
        items: a token, a symbol, a word or a step `[D]` for each.

    Raises:
        SettingsError: there are not as many items as sessions, a session is there twice or is of another model, or an
            item is more or less than one.
    """
    if len(items) != len(sessions) or len(set(map(id, sessions))) != len(sessions):
        raise SettingsError(
            f"expected an item for each session, each session once, got {len(items)} and {len(sessions)}"
        )
    if any(one._model is not model for one in sessions):
        raise SettingsError("a session is of another model; step those of each model by themselves")
    if not sessions:
        return []
    kind = type(sessions[0])
    vectors = kind._vectors(model, [_alone(item) for item in items])
    lengths = vectors.shape[1]
    if lengths != 1:
        raise SettingsError(f"step_many takes one item for each session, but one is {lengths} items; use push for it")
    x = np.ascontiguousarray(vectors[:, 0], np.float32)
    outputs = np.empty((len(x), model.network_.layer.output_size), np.float32)
    with ExitStack() as locks:
        for one in sorted(sessions, key=id):
            locks.enter_context(one._lock)
        library.push_many([one._stream for one in sessions], address(x), address(outputs), model.threads)
        for one, output in zip(sessions, outputs, strict=True):
            one._keep(output[None])
        return kind._answers(model, sessions, outputs)


def _items(sentence: Any) -> list[str]:
    """The tokens of a piece of a sentence; a text is one token."""
    return [sentence] if isinstance(sentence, str) else checked_texts(sentence, "token")


def _pieces(model: Any, several: Sequence[Any]) -> list[Array]:
    """Pieces of series, checked; they may be empty."""
    size = model.network_.embedding.size
    return [one if len(one) else np.zeros((0, size)) for one in checked_series(several, size)]


def _alone(item: Any) -> Any:
    """One item as a piece of a sequence: a step `[D]` as `[1, D]`; a text is one already."""
    return np.asarray(item)[None] if isinstance(item, np.ndarray) else item


class _Block:
    """Room for pieces of a series of up to `capacity` steps."""

    def __init__(self, model: Any, capacity: int) -> None:
        network = model.network_
        self.capacity, self.threads, self.network = capacity, model.threads, network
        self.size = network.embedding.size
        self.mean, self.deviation = (
            np.ascontiguousarray(a, np.float64) for a in (network.embedding.mean, network.embedding.deviation)
        )
        self.numbers = np.empty((capacity, self.size), np.float32)
        self.vectors = np.empty((capacity, network.layer.input_size), np.float32)
        self.outputs = np.empty((capacity, network.layer.output_size), np.float32)
        self.scores = np.empty((capacity, network.outputs), np.float32)

    def run(self, stream: Any, block: Array, out: Array) -> Array:
        network, steps, tags = self.network, len(block), self.scores.shape[1]
        if block.ndim != 2 or block.shape[1] != self.size:
            raise SettingsError(f"expected a block [T, {self.size}], got {list(block.shape)}")
        if (
            out.dtype != np.float32
            or out.ndim != 2
            or out.shape[1] != tags
            or len(out) < steps
            or not out.flags.c_contiguous
        ):
            raise SettingsError(
                f"expected room [{steps} or more, {tags}] of float32, contiguous, got {list(out.shape)}, {out.dtype}"
            )
        numbers = self.numbers[:steps]
        if block.dtype not in (np.float32, np.float64) or not block.flags.c_contiguous:
            block = np.ascontiguousarray(block, np.float64)
        doubles = block.dtype == np.float64
        scale = address(self.mean), address(self.deviation)
        library.standardise(address(block), doubles, steps, self.size, *scale, address(numbers))
        projection = network.embedding.projection
        if projection is None:
            vectors = numbers
        else:
            vectors = self.vectors[:steps]
            projection.native.run(address(numbers), steps, address(vectors), self.threads)
        stream.push(vectors, self.outputs, self.threads)
        network.head.native.run(address(self.outputs), steps, address(self.scores), self.threads)
        library.softmax(address(self.scores), steps, tags, address(out), self.threads)
        return out[:steps]
