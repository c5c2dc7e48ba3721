"""A running decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.runtime.layers import Array
from stepscan.runtime.sessions.session import Session, pieces_of_series


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
        return model.network_.embedding(
            model._read(several) if model.tokenizers_ else pieces_of_series(model, several)
        )[0]

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
