"""Adapters that give trained torch patterns the interface of `stepscan.runtime.networks`, for inference.

So prediction is written once for both. Ids, values and scores are NumPy arrays, states are torch's; no gradients are
computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from stepscan.data.batching import pad, pad_numbers
from stepscan.decoding.transitions import AllowedTransitions
from stepscan.kernels.pointwise import softmax
from stepscan.patterns import embedding
from stepscan.patterns.attention import attention_weights
from stepscan.patterns.numeric_embedding import NumericEmbedding
from stepscan.runtime.batches import Batch, Words
from stepscan.runtime.execution import Options
from stepscan.runtime.networks.crf import CRF
from stepscan.runtime.networks.tensors import Tensors
from stepscan.runtime.probabilities import nats
from stepscan.sequences import Sequences
from stepscan.state import State

PaddedScores = tuple[np.ndarray, np.ndarray]  # data [N, T, …] and lengths [N]


class InferenceModel:
    """A torch pattern, or an ensemble of patterns, for inference.

    Args:
        model: the pattern.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def embedding(self) -> Any:
        """The pattern's input map."""
        return self.model.embedding

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.model.parameters()).device

    def inputs(self, rows: Any) -> Any:
        """The input of the pattern, on its device: `Sequences` of ids `[T]` or series `[T, D]`, or words with their
        characters.

        Args:
            rows: as `network_inputs` of an estimator returns them.
        """
        return pattern_input(rows, isinstance(self.embedding, NumericEmbedding)).to(self.device)


def pattern_input(rows: Any, is_numeric: bool = False) -> Any:
    """The input of a pattern for rows of ids, rows of values, or `stepscan.runtime.batches.Words`."""
    if isinstance(rows, Words):
        words, spellings, index = rows
        return embedding.WordsWithCharacters(
            _sequences(words), tuple(map(_sequences, spellings)), torch.from_numpy(index)
        )
    return pad_numbers(rows) if is_numeric else pad(rows)


def _sequences(batch: Batch | PaddedScores) -> Sequences:
    data, lengths = batch
    return Sequences(torch.from_numpy(data), torch.from_numpy(lengths))


class InferenceEncoder(InferenceModel):
    """See `stepscan.runtime.networks.encoder`."""

    @property
    def outputs(self) -> int:
        """Width of the head."""
        return self.model.outputs

    @property
    def feature_size(self) -> int:
        """H, the size of a feature vector."""
        return self.model.feature_size

    @torch.inference_mode()
    def scores(self, rows: Sequence[Any]) -> np.ndarray:
        """Logits `[N, outputs]`, or predicted numbers `[N, 1]`."""
        return self.model(self.inputs(rows)).cpu().numpy()

    @torch.inference_mode()
    def member_scores(self, rows: Sequence[Any]) -> list[np.ndarray]:
        """Each member's scores, of an ensemble."""
        return [scores.cpu().numpy() for scores in self.model.member_scores(self.inputs(rows))]

    @torch.inference_mode()
    def combine(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """The ensemble's scores, from its members' scores."""
        return self.model.combine([torch.from_numpy(member_scores) for member_scores in scores]).numpy()

    @torch.inference_mode()
    def features(self, rows: Sequence[Any]) -> np.ndarray:
        """Feature vectors `[N, H]`."""
        return self.model.encode(self.inputs(rows)).cpu().numpy()


class InferenceTransducer(InferenceModel):
    """See `stepscan.runtime.networks.transducer`."""

    @torch.inference_mode()
    def scores(self, rows: Any) -> PaddedScores:
        """Logits `[N, T, K]`, zeros in the padding, and lengths `[N]`."""
        return _arrays(self.model(self.inputs(rows))[0])

    def predict(self, data: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Scores `[N, T, K]` → classes `[N, T]`, 0 in the padding."""
        scores = Batch(data, lengths)
        return Batch(data.argmax(axis=2), lengths).zeroed().data if self.crf is None else self.crf.best_paths(scores)

    @torch.inference_mode()
    def probabilities(self, data: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Scores `[N, T, K]` → probabilities of each class at each item, 0 in the padding."""
        if self.crf is not None:
            return self.crf.marginals(Batch(data, lengths))
        return Batch(softmax(torch.from_numpy(data)).numpy(), lengths).zeroed().data

    def log_probability(self, data: np.ndarray, lengths: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Log-probability `[N]` of the classes `targets [N, T]` together, in nats, float64."""
        if self.crf is not None:
            return self.crf.log_likelihood(Batch(data, lengths), targets)
        return -Batch(nats(data, targets), lengths).zeroed().data.sum(axis=1)

    @cached_property
    def crf(self) -> CRF | None:
        """The runtime's CRF with the weights of the model's CRF (of an ensemble: their mean); None without a CRF."""
        crf = self.model.crf
        if crf is None:
            return None
        masks = (crf.allowed, crf.may_start, crf.may_end)
        forbidden = AllowedTransitions(*(mask.cpu().numpy() for mask in masks)).forbidden()
        weights = {name: weight.detach().float().cpu().numpy() for name, weight in crf.named_parameters()}
        return CRF(Tensors(weights, Options()), len(crf.start), forbidden)


class InferenceGenerator(InferenceModel):
    """See `stepscan.runtime.networks.generator`."""

    @torch.inference_mode()
    def initial_state(self, rows: int) -> State:
        """The state of so many rows before the first symbol."""
        return self.model.initial_state(rows)

    def step(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Ids `[N]` and a state → scores of the next symbols `[N, V]` and the next state."""
        return self.model.array_step(ids, state)

    @torch.inference_mode()
    def scan(self, rows: Sequence[Any], state: State | None = None) -> tuple[np.ndarray, np.ndarray, State]:
        """Rows of ids → scores of the next symbols `[N, T, V]`, lengths `[N]` and the final state."""
        scores, state = self.model(self.inputs(rows), state)
        return *_arrays(scores), state


class InferenceConditionedGenerator(InferenceModel):
    """See `stepscan.runtime.networks.conditioned_generator`."""

    @property
    def generator(self) -> InferenceGenerator:
        """The decoder."""
        return InferenceGenerator(self.model.generator)

    @torch.inference_mode()
    def initial_state(self, rows: Sequence[Any]) -> State:
        """The state in which decoding of each source starts."""
        return self.model.initial_state(self.inputs(rows))

    def attention_weights(self, state: State) -> np.ndarray | None:
        """The mean attention weights over all attention layers (and members of an ensemble); None without attention."""
        layers = [weights.cpu().numpy() for weights in attention_weights(state)]
        return np.mean(layers, axis=0) if layers else None


def _arrays(sequences: Sequences) -> PaddedScores:
    return sequences.data.cpu().numpy(), sequences.lengths.cpu().numpy()
