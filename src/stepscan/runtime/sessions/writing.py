"""A text that is being written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepscan.decoding import Sampler, row_generators
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.examples import checked_texts
from stepscan.runtime.probabilities import softmax
from stepscan.runtime.sessions.session import Moment, Session, layers_state, overflowed


class WritingSession(Session):
    """A text that is being written: `push` reads more of it and returns the probability `[V]` of each symbol to come
    next; `generate` writes on, and reads what it writes.

    The pieces of a text may end anywhere, within a word too: each answer is that for the text so far.
    """

    def _begin(self) -> Moment:
        kept = {"y": np.zeros((1, self._network.layer.output_size), np.float32)}
        before = self._moment(self._network.initial_state(1), kept)
        return self._after(before, self._network.embedding.step(np.array([self._model._begin])), before.stream)[1]

    def _settled(self, held: str, items: Any) -> tuple[str, str]:
        return self._model._settled(held + checked_texts([items])[0])

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any], what: str) -> Batch:
        return model.network_.embedding([model._encode(text) for text in checked_texts(several, what)])

    def _keep(self, kept: Mapping[str, Array], outputs: Array) -> Mapping[str, Array]:
        return {"y": outputs[-1:].copy()} if len(outputs) else kept

    @classmethod
    def _answers(cls, model: Any, moments: Sequence[Moment], outputs: Array) -> list[Any]:
        outputs = np.concatenate([moment.kept["y"] for moment in moments])
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
        """`length` symbols more, chosen as `LanguageModel.generate` does; the session has read them then. They come
        after whole symbols: what is pushed later does not join with them, nor with what was pushed before them."""
        sampler = Sampler(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        draws = row_generators(seed, 1)[0].random(self._model._checked_length(length))
        excluded = self._model._excluded(forbidden, allowed)
        with self._turn:
            before = self._ahead(self._now)
            state, y = layers_state(self._network, before), before.kept["y"].copy()
            state = self._network.layer.with_room(state, len(draws))
            ids = self._network.write(state, y, draws, sampler, excluded, self._model.threads)
            if not np.isfinite(state).all():
                overflowed()
            written = self._model._decode(ids)
            self._now = self._moment(state, {"y": y})
        return written
