"""Torch patterns with the methods of `stepscan.runtime.networks`, so that what uses a model is written once for both.

Ids, numbers and scores are NumPy arrays, states are torch's. Nothing here asks for a gradient.
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
from stepscan.runtime.layers import Options
from stepscan.runtime.networks.crf import CRF
from stepscan.runtime.networks.tensors import Tensors
from stepscan.runtime.probabilities import nats
from stepscan.sequences import Sequences
from stepscan.state import State

Scored = tuple[np.ndarray, np.ndarray]  # data [N, T, …] and lengths [N]


class Network:
    """A torch pattern, or an ensemble of such.

    Args:
        model: the pattern.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def embedding(self) -> Any:
        return self.model.embedding

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def inputs(self, rows: Any) -> Any:
        """What the model takes, on its device: `Sequences` of rows of ids `[T]` or series `[T, D]`, or words with their
        spelling; `rows` are as `network_inputs` of an estimator returns them."""
        numeric = isinstance(self.embedding, NumericEmbedding)
        return as_input(rows, numeric).to(self.device)


def as_input(rows: Any, numeric: bool = False) -> Any:
    """What a pattern takes of rows of ids, of numbers, or of `stepscan.runtime.batches.Words`."""
    if isinstance(rows, Words):
        words, spellings, spelling_of = rows
        return embedding.WordsWithCharacters(
            _sequences(words), tuple(map(_sequences, spellings)), torch.from_numpy(spelling_of)
        )
    return pad_numbers(rows) if numeric else pad(rows)


def _sequences(batch: Batch | Scored) -> Sequences:
    data, lengths = batch
    return Sequences(torch.from_numpy(data), torch.from_numpy(lengths))


class EncoderNetwork(Network):
    """See `stepscan.runtime.networks.encoder`."""

    @property
    def outputs(self) -> int:
        return self.model.outputs

    @property
    def feature_size(self) -> int:
        return self.model.feature_size

    @torch.inference_mode()
    def scores(self, rows: Sequence[Any]) -> np.ndarray:
        return self.model(self.inputs(rows)).cpu().numpy()

    @torch.inference_mode()
    def member_scores(self, rows: Sequence[Any]) -> list[np.ndarray]:
        """Of an ensemble: each member's scores."""
        return [scores.cpu().numpy() for scores in self.model.member_scores(self.inputs(rows))]

    @torch.inference_mode()
    def combine(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Of an ensemble: what its members' scores are together."""
        return self.model.combine([torch.from_numpy(one) for one in scores]).numpy()

    @torch.inference_mode()
    def features(self, rows: Sequence[Any]) -> np.ndarray:
        return self.model.encode(self.inputs(rows)).cpu().numpy()


class TransducerNetwork(Network):
    """See `stepscan.runtime.networks.transducer`."""

    @torch.inference_mode()
    def scores(self, rows: Any) -> Scored:
        return _arrays(self.model(self.inputs(rows))[0])

    def predict(self, data: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        scores = Batch(data, lengths)
        return Batch(data.argmax(axis=2), lengths).zeroed().data if self.crf is None else self.crf.best_paths(scores)

    @torch.inference_mode()
    def probabilities(self, data: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        if self.crf is not None:
            return self.crf.marginals(Batch(data, lengths))
        return Batch(softmax(torch.from_numpy(data)).numpy(), lengths).zeroed().data

    def log_probability(self, data: np.ndarray, lengths: np.ndarray, targets: np.ndarray) -> np.ndarray:
        if self.crf is not None:
            return self.crf.log_likelihood(Batch(data, lengths), targets)
        return -Batch(nats(data, targets), lengths).zeroed().data.sum(axis=1)

    @cached_property
    def crf(self) -> CRF | None:
        """The runtime's, with the weights of the model's (of an ensemble: with their mean)."""
        own = self.model.crf
        if own is None:
            return None
        forbidden = AllowedTransitions(
            *(one.cpu().numpy() for one in (own.allowed, own.may_start, own.may_end))
        ).forbidden()
        weights = {name: weight.detach().float().cpu().numpy() for name, weight in own.named_parameters()}
        return CRF(Tensors(weights, Options()), len(own.start), forbidden)


class GeneratorNetwork(Network):
    """See `stepscan.runtime.networks.generator`."""

    @torch.inference_mode()
    def initial_state(self, rows: int) -> State:
        return self.model.initial_state(rows)

    def step(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        return self.model.array_step(ids, state)

    @torch.inference_mode()
    def scan(self, rows: Sequence[Any], state: State | None = None) -> tuple[np.ndarray, np.ndarray, State]:
        scores, state = self.model(self.inputs(rows), state)
        return *_arrays(scores), state


class ConditionedGeneratorNetwork(Network):
    """See `stepscan.runtime.networks.conditioned_generator`."""

    @property
    def generator(self) -> GeneratorNetwork:
        return GeneratorNetwork(self.model.generator)

    @torch.inference_mode()
    def initial_state(self, rows: Sequence[Any]) -> State:
        return self.model.initial_state(self.inputs(rows))

    def attention_weights(self, state: State) -> np.ndarray | None:
        """The mean over all parts (and models of an ensemble) that look; None if there are none."""
        found = [weights.cpu().numpy() for weights in attention_weights(state)]
        return np.mean(found, axis=0) if found else None


def _arrays(found: Sequences) -> Scored:
    return found.data.cpu().numpy(), found.lengths.cpu().numpy()
