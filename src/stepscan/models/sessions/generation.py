"""Session of a language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.probabilities import softmax
from stepscan.data.example_checks import checked_texts
from stepscan.decoding import Sampler, row_generators
from stepscan.models.sessions.session import raise_overflow
from stepscan.models.sessions.stream import SessionState, StreamSession, embedded, layer_state
from stepscan.models.texts import Text, WritingRequest


class GenerationSession(StreamSession):
    """Reads and generates a text: `push` reads more of it and returns the probability `[V]` of each symbol to be the
    next; `generate` continues it.

    Pieces of a text may end anywhere, also within a word: each result is that for the text so far.
    """

    def _initial_state(self) -> SessionState:
        accumulators = {"y": np.zeros((1, self._network.layer.output_size), np.float32)}
        before = self._new_state(self._network.initial_state(1), accumulators)
        return self._advance(before, self._network.embedding.step(np.array([self._model.begin_id])), before.stream)[1]

    def _split_pending(self, pending: str, items: Any) -> tuple[str, str]:
        return self._model.split_settled(pending + checked_texts([items])[0])

    @staticmethod
    def _embed(model: Any, pieces: Sequence[Any], what: str) -> Batch:
        return embedded(model, [model.encode(text) for text in checked_texts(pieces, what)])

    def _accumulate(self, accumulators: Mapping[str, Array], outputs: Array) -> Mapping[str, Array]:
        return {"y": outputs[-1:].copy()} if len(outputs) else accumulators

    @classmethod
    def _batch_outputs(cls, model: Any, states: Sequence[SessionState], outputs: Array) -> list[Any]:
        outputs = np.concatenate([state.accumulators["y"] for state in states])
        return list(softmax(model.network_.score(outputs)))

    def generate(
        self,
        length: int = 500,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        forbidden: str | Sequence[str] = (),
        allowed: str | Sequence[str] = (),
        seed: int | None = None,
    ) -> str:
        """Continue the text by `length` symbols; returns them. Arguments and errors are those of
        `LanguageModel.generate`.

        Pending text is completed first: what is pushed later joins neither with it nor with the generated symbols.
        """
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        draws = row_generators(seed, 1)[0].random(self._model.check_length(length))
        excluded = self._model.excluded_ids(forbidden, allowed)
        with self._lock:
            current = self._flush(self._state)
            state, y = layer_state(self._network, current), current.accumulators["y"].copy()
            state = self._network.layer.with_room(state, len(draws))
            writer = self._model.writer
            if writer is None:
                ids, state, y = self._write(state, y, draws, sampler, excluded)
            else:
                ids = writer.write(state, y, draws, sampler, excluded, self._model.threads)
            if not np.isfinite(state).all():
                raise_overflow()
            text = self._model.decode(ids)
            self._state = self._new_state(state, {"y": y})
        return text

    def _write(
        self, state: Array, y: Array, draws: Array, sampler: Sampler, excluded: Sequence[int]
    ) -> tuple[list[int], Array, Array]:
        """Sample symbols step by step; returns them, and the state and output after the last."""
        network, ids = self._network, []
        for draw in draws:
            scores = np.array(network.score(y), np.float64)
            scores[:, list(excluded)] = -np.inf
            ids.append(int(sampler.pick(scores, np.array([draw]))[0]))
            y, state = network.layer.step(network.embedding.step(np.array(ids[-1:])), state)
        return ids, state, y

    def text(self, request: WritingRequest) -> Text:
        """A text that continues this one; the session does not change before `adopt`."""
        with self._lock:
            current = self._flush(self._state)
            stream = self._new_stream()
            stream.copy(current.stream)
            return Text(self._model, stream, current.accumulators["y"][0].copy(), request)

    def adopt(self, text: Text) -> None:
        """Take what `text` of this session has written as read.

        Raises:
            SettingsError: the state is not finite; the session is unchanged.
        """
        with self._lock:
            state = layer_state(self._network, SessionState(text.stream, {}))
            if not np.isfinite(state).all():
                raise_overflow()
            self._state = self._new_state(state, {"y": text.y[None].copy()})
