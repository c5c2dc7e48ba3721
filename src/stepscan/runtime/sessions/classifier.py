"""A running decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.examples import checked_texts
from stepscan.runtime.sessions.session import Moment, Session, layers_state, say_without_wide, vectors_of_series


class ClassifierSession(Session):
    """A running decision: `push` takes a text, or a piece `[T, D]` of a series, and returns what `stepscan predict`
    would say of all that was read.

    With a tokenizer of words (`word`, `whitespace`), the end of a piece ends a word: "not" and then "bad" is "not bad".
    With the others, pieces are joined as they are and may end anywhere. A wide part takes no part in it, which a
    warning says: its features are of a whole text or series.
    """

    def _begin(self) -> Moment:
        if self._model.wide_ is not None:
            say_without_wide("decides")
        size = self._network.layer.output_size
        kept: dict[str, Array] = {
            "last": {},
            "mean": {"steps": np.zeros(1, np.int64), "total": np.zeros(size)},
            "max": {"steps": np.zeros(1, np.int64), "highest": np.full(size, -np.inf, np.float32)},
            "attention": {"most": np.full(1, -np.inf), "weight": np.zeros(1), "total": np.zeros(size)},
        }[self._network.pooling]
        return self._moment(np.zeros((1, self._network.layer.state_size), np.float32), kept)

    def _settled(self, held: str, items: Any) -> tuple[Any, str]:
        tokenizer = self._model.tokenizers_.get("tokenizer")
        if tokenizer is None:
            return items, ""
        text = held + checked_texts([items])[0]
        return (text, "") if tokenizer.drops_space else tokenizer.split_settled(text)

    @staticmethod
    def _vectors(model: Any, several: Sequence[Any], what: str) -> Batch:
        return (
            model.network_.embedding(model.network_inputs(several))
            if model.tokenizers_
            else vectors_of_series(model, several, what)
        )

    def _keep(self, kept: Mapping[str, Array], outputs: Array) -> Mapping[str, Array]:
        after = dict(kept)
        if "steps" in kept:
            after["steps"] = kept["steps"] + len(outputs)
        if "highest" in kept:
            after["highest"] = np.maximum(kept["highest"], outputs.max(axis=0, initial=-np.inf))
        elif "most" in kept:
            after = self._keep_attended(kept, outputs)
        elif "total" in kept:
            for output in outputs:
                after["total"] = after["total"] + output
        return after

    def _keep_attended(self, kept: Mapping[str, Array], outputs: Array) -> dict[str, Array]:
        """The softmax over all items so far, as sums below the greatest score."""
        most, weight, total = kept["most"], kept["weight"], kept["total"]
        scores = self._network.relevance_of(outputs).astype(np.float64)
        for score, output in zip(scores, outputs, strict=True):
            before, most = most, np.maximum(most, score)
            old, new = np.exp(before - most), np.exp(score - most)
            total, weight = total * old + output * new, weight * old + new
        return {"most": most, "weight": weight, "total": total}

    @classmethod
    def _answers(cls, model: Any, moments: Sequence[Moment], outputs: Array) -> list[Any]:
        features = np.stack([_feature(model.network_, moment) for moment in moments])
        return model.problem.records(model.network_.head_scores(features), model.labels_)


def _feature(network: Any, moment: Moment) -> Array:
    """The feature vector `[H]` of all that was read."""
    kept = moment.kept
    if "highest" in kept:
        return kept["highest"] if kept["steps"] else np.zeros_like(kept["highest"])
    if "weight" in kept:
        return (kept["total"] / (kept["weight"] or 1)).astype(np.float32)
    if "total" in kept:
        return kept["total"].astype(np.float32) / np.float32(max(1, kept["steps"][0]))
    return network.layer.readout(layers_state(network, moment))[0]
