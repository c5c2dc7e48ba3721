"""A text that is being written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.decoding import Sampler, row_randoms
from stepscan.runtime.layers import Array
from stepscan.runtime.probabilities import softmax
from stepscan.runtime.sessions.session import Session


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
