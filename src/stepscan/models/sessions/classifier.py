"""Session of a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.data.example_checks import checked_texts
from stepscan.models.sessions.series_input import series_vectors
from stepscan.models.sessions.stream import SessionState, StreamSession, embedded, layer_state, warn_without_wide


class ClassifierSession(StreamSession):
    """Classifies a sequence as it arrives: `push` takes a text, or a piece `[T, D]` of a series, and returns the record
    that `predict_records` would give for the sequence so far.

    With a tokenizer of words (`word`, `whitespace`), the end of a piece ends a word: "not" and then "bad" is "not bad".
    With other tokenizers, pieces are joined as they are and may end anywhere. A session does not use the model's wide
    part, whose features are of a whole text or series; a warning says so.
    """

    def _initial_state(self) -> SessionState:
        if self._model.wide_ is not None:
            warn_without_wide()
        size = self._network.layer.output_size
        accumulators: dict[str, Array] = {
            "last": {},
            "mean": {"steps": np.zeros(1, np.int64), "total": np.zeros(size)},
            "max": {"steps": np.zeros(1, np.int64), "highest": np.full(size, -np.inf, np.float32)},
            "attention": {"most": np.full(1, -np.inf), "weight": np.zeros(1), "total": np.zeros(size)},
        }[self._network.pooling]
        return self._new_state(self._network.layer.initial_state(1), accumulators)

    def _split_pending(self, pending: str, items: Any) -> tuple[Any, str]:
        tokenizer = self._model.tokenizers_.get("tokenizer")
        if tokenizer is None:
            return items, ""
        text = pending + checked_texts([items])[0]
        return (text, "") if tokenizer.drops_space else tokenizer.split_settled(text)

    @staticmethod
    def _embed(model: Any, pieces: Sequence[Any], what: str) -> Batch:
        return (
            embedded(model, model.network_inputs(pieces)) if model.tokenizers_ else series_vectors(model, pieces, what)
        )

    def _accumulate(self, accumulators: Mapping[str, Array], outputs: Array) -> Mapping[str, Array]:
        after = dict(accumulators)
        if "steps" in accumulators:
            after["steps"] = accumulators["steps"] + len(outputs)
        if "highest" in accumulators:
            after["highest"] = np.maximum(accumulators["highest"], outputs.max(axis=0, initial=-np.inf))
        elif "most" in accumulators:
            after = self._accumulate_attention(accumulators, outputs)
        elif "total" in accumulators:
            for output in outputs:
                after["total"] = after["total"] + output
        return after

    def _accumulate_attention(self, accumulators: Mapping[str, Array], outputs: Array) -> dict[str, Array]:
        """Running attention pooling: sums of exp(score − greatest score), as in an online softmax."""
        most, weight, total = accumulators["most"], accumulators["weight"], accumulators["total"]
        scores = self._network.relevance_scores(outputs).astype(np.float64)
        for score, output in zip(scores, outputs, strict=True):
            before, most = most, np.maximum(most, score)
            old, new = np.exp(before - most), np.exp(score - most)
            total, weight = total * old + output * new, weight * old + new
        return {"most": most, "weight": weight, "total": total}

    @property
    def probabilities(self) -> Array:
        """The probability of each class or label `[K]`, in the order of `classes_`, of the sequence so far; for
        regression, the number `[1]`."""
        network, problem = self._network, self._model.problem
        with self._lock:
            features = _feature_vector(network, self._flush(self._state))
        scores = network.output(network.head(features[None]))
        is_number = self._model.problem_type == "regression"
        return np.atleast_1d(problem.predictions(scores, None) if is_number else problem.probabilities(scores)[0])

    @classmethod
    def _batch_outputs(cls, model: Any, states: Sequence[SessionState], outputs: Array) -> list[Any]:
        network = model.network_
        features = np.stack([_feature_vector(network, state) for state in states])
        return model.problem.records(network.output(network.head(features)), model.labels_)


def _feature_vector(network: Any, state: SessionState) -> Array:
    """The feature vector `[H]` of the sequence so far."""
    accumulators = state.accumulators
    if "highest" in accumulators:
        return accumulators["highest"] if accumulators["steps"] else np.zeros_like(accumulators["highest"])
    if "weight" in accumulators:
        return (accumulators["total"] / (accumulators["weight"] or 1)).astype(np.float32)
    if "total" in accumulators:
        return accumulators["total"].astype(np.float32) / np.float32(max(1, accumulators["steps"][0]))
    return network.layer.readout(layer_state(network, state))[0]
