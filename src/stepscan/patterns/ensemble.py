"""Ensembles of models of one pattern (Hansen & Salamon 1990): the mean of their probabilities.

An ensemble has the interface of its members; its state is the tuple of their states. Ensembles are made of trained
models and are not trained or saved themselves.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepscan.patterns.conditioned_generator import ConditionedGenerator
from stepscan.patterns.crf import CRFTransducer
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.generator import Generator
from stepscan.patterns.loss import Loss
from stepscan.patterns.transducer import Transducer
from stepscan.sequences import Sequences
from stepscan.state import State


def log_mean(log_probabilities: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean of probabilities of one shape, from their logarithms."""
    return torch.logsumexp(torch.stack(list(log_probabilities)), dim=0) - math.log(len(log_probabilities))


class Ensemble(nn.Module):
    """The base class of ensembles; inputs are read as by the first member."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def embedding(self) -> Any:
        """The first member's embedding."""
        return self._first.embedding

    @property
    def _members(self) -> list[Any]:
        return list(self.members)

    @property
    def _first(self) -> Any:
        return self.members[0]


class EncoderEnsemble(Ensemble):
    """Encoders: logits whose softmax (multilabel: sigmoid) is the members' mean; for regression, the mean."""

    def encode(self, inputs: Any) -> Tensor:
        """The members' feature vectors, concatenated `[B, ΣH]`."""
        return torch.cat([member.encode(inputs) for member in self._members], dim=1)

    def forward(self, inputs: Any) -> Tensor:
        return self.combine(self.member_scores(inputs))

    def member_scores(self, inputs: Any) -> list[Tensor]:
        """The logits of each member, `[B, outputs]`."""
        return [member(inputs) for member in self._members]

    def combine(self, scores: list[Tensor]) -> Tensor:
        """The logits `[B, outputs]` of the ensemble, from those of its members."""
        if self._first.problem_type == "regression":
            return torch.stack(scores).mean(dim=0)
        if self._first.problem_type == "multilabel":
            return log_mean([F.logsigmoid(s) for s in scores]) - log_mean([F.logsigmoid(-s) for s in scores])
        return log_mean([s.log_softmax(dim=1) for s in scores])

    @property
    def outputs(self) -> int:
        """See `Encoder.outputs`."""
        return self._first.outputs

    @property
    def feature_size(self) -> int:
        """The sum of the members' feature sizes."""
        return sum(member.feature_size for member in self._members)


class TransducerEnsemble(Ensemble):
    """Transducers: the mean of the members' probabilities. For CRFs the mean of their scores, transitions included: the
    normalised geometric mean of their distributions."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(members)
        self._predictor = copy.deepcopy(self._first)
        if self.crf is not None:
            average_weights(self.crf, [member.crf for member in members])

    @property
    def crf(self) -> Any:
        """The CRF with the mean of the members' weights; None if they have none."""
        return self._predictor.crf

    def forward(self, inputs: Any) -> tuple[Sequences, None]:
        scores = [member(inputs)[0] for member in self._members]
        if self.crf is not None:
            return scores[0].replace(torch.stack([s.data for s in scores]).mean(dim=0)), None
        return scores[0].replace(log_mean([s.data.log_softmax(dim=2) for s in scores])), None

    def loss(self, inputs: Any, targets: Sequences, state: None = None) -> Loss:
        """See `Transducer.loss`."""
        scores, _ = self(inputs)
        if self.crf is not None:
            total = -self.crf.log_likelihood(scores, targets).sum()
        else:
            total = F.nll_loss(scores.items(), targets.items(), reduction="sum")
        return Loss(total, int(targets.lengths.sum()))

    def probabilities(self, scores: Sequences) -> Sequences:
        """See `Transducer.probabilities`."""
        return self._predictor.probabilities(scores)

    def predict(self, scores: Sequences) -> Sequences:
        """See `Transducer.predict`."""
        return self._predictor.predict(scores)


class GeneratorEnsemble(Ensemble):
    """Generators: at each step the mean of the members' probabilities of the next symbol."""

    def initial_state(self, batch_size: int) -> State:
        """The initial states of all members."""
        return tuple(member.initial_state(batch_size) for member in self._members)

    def forward(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Ids `[B, T]` → log-probabilities of the next symbols `[B, T, V]`, and the members' final states."""
        states = [None] * len(self.members) if state is None else state
        results = [member(inputs, initial) for member, initial in zip(self._members, states, strict=True)]
        scores = [member_scores for member_scores, _ in results]
        log_probabilities = scores[0].replace(log_mean([s.data.log_softmax(dim=2) for s in scores]))
        return log_probabilities, tuple(final for _, final in results)

    def loss(self, inputs: Sequences, targets: Sequences, state: State | None = None) -> Loss:
        """See `Generator.loss`."""
        scores, state = self(inputs, state)
        symbols = targets.items()
        return Loss(F.nll_loss(scores.items(), symbols, reduction="sum"), len(symbols), state)

    @torch.inference_mode()
    def array_step(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """One step on NumPy arrays, for `stepscan.decoding`: ids `[B]` → log-probabilities `[B, V]`, the next state."""
        tokens = torch.from_numpy(ids).to(self.embedding.weight.device)
        results = [member.step(tokens, old) for member, old in zip(self._members, state, strict=True)]
        mean = log_mean([scores.log_softmax(dim=1) for scores, _ in results])
        return mean.cpu().numpy(), tuple(new for _, new in results)


class ConditionedGeneratorEnsemble(Ensemble):
    """Conditioned generators: each encodes the source; decoding uses the mean of their probabilities."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(members)
        self.generator = GeneratorEnsemble([member.generator for member in members])

    def initial_state(self, source: Sequences) -> State:
        """The states of all members after reading the source."""
        return tuple(member.initial_state(source) for member in self._members)

    def loss(self, inputs: tuple[Sequences, Sequences], targets: Sequences, state: None = None) -> Loss:
        """See `ConditionedGenerator.loss`."""
        source, previous = inputs
        total, count, _ = self.generator.loss(previous, targets, self.initial_state(source))
        return Loss(total, count)


_ENSEMBLES: dict[type[nn.Module], type[Ensemble]] = {
    Encoder: EncoderEnsemble,
    Transducer: TransducerEnsemble,
    CRFTransducer: TransducerEnsemble,
    Generator: GeneratorEnsemble,
    ConditionedGenerator: ConditionedGeneratorEnsemble,
}


def has_ensemble(member: nn.Module) -> bool:
    """Whether models of this pattern can form an ensemble; NumericGenerators cannot."""
    return type(member) in _ENSEMBLES


def build_ensemble(members: Sequence[nn.Module]) -> Ensemble:
    """The ensemble of trained models of one pattern."""
    return _ENSEMBLES[type(members[0])](members)


@torch.no_grad()
def average_weights(model: nn.Module, others: Sequence[nn.Module]) -> None:
    """Set the weights of `model` to the mean of those of `others`; integer buffers to those of the first."""
    state_dicts = [other.state_dict() for other in others]
    for name, tensor in model.state_dict().items():
        values = [weights[name] for weights in state_dicts]
        is_integer = not tensor.is_floating_point()
        tensor.copy_(values[0] if is_integer else torch.stack([v.double() for v in values]).mean(dim=0))
