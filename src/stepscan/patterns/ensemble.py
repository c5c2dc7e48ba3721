"""Several models of one pattern that decide together (Hansen & Salamon 1990): the mean of their probabilities.

An ensemble stands where one of its members stood: it takes the same inputs and answers in the same form. Its state is
the tuple of its members' states. It is made of trained models and is not itself trained or saved.
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
from stepscan.patterns.crf import CRF, CRFTransducer
from stepscan.patterns.encoder import Encoder
from stepscan.patterns.generator import Generator
from stepscan.patterns.loss import Loss
from stepscan.patterns.transducer import Transducer
from stepscan.sequences import Sequences
from stepscan.state import State


def log_mean(log_probabilities: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean of probabilities, given their logarithms."""
    return torch.logsumexp(torch.stack(list(log_probabilities)), dim=0) - math.log(len(log_probabilities))


class Ensemble(nn.Module):
    """What all ensembles are: their members, of which the first says how inputs are read."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @property
    def embedding(self) -> Any:
        return self._first.embedding

    @property
    def _each(self) -> list[Any]:
        return list(self.members)

    @property
    def _first(self) -> Any:
        return self.members[0]


class EncoderEnsemble(Ensemble):
    """Encoders: scores whose softmax (of labels sigmoid) is the mean of the members'; of numbers their mean."""

    def encode(self, inputs: Any) -> Tensor:
        """The members' feature vectors side by side."""
        return torch.cat([member.encode(inputs) for member in self._each], dim=1)

    def forward(self, inputs: Any) -> Tensor:
        return self.joined(self.of_members(inputs))

    def of_members(self, inputs: Any) -> list[Tensor]:
        """Each member's scores `[B, outputs]`."""
        return [member(inputs) for member in self._each]

    def joined(self, scores: list[Tensor]) -> Tensor:
        """The scores `[B, outputs]` of members, as those of one."""
        if self._first.problem_type == "regression":
            return torch.stack(scores).mean(dim=0)
        if self._first.problem_type == "multilabel":
            return log_mean([F.logsigmoid(s) for s in scores]) - log_mean([F.logsigmoid(-s) for s in scores])
        return log_mean([s.log_softmax(dim=1) for s in scores])

    @property
    def outputs(self) -> int:
        return self._first.outputs

    @property
    def feature_size(self) -> int:
        return sum(member.feature_size for member in self._each)


class TransducerEnsemble(Ensemble):
    """Transducers: the mean of the members' probabilities; of CRFs the mean of all scores, transitions included, which
    is the normalised product of what they say."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(members)
        self._decider = copy.deepcopy(self._first)
        if self._is_crf:
            mean_weights(self._decider.crf, [member.crf for member in members])

    @property
    def crf(self) -> CRF | None:
        """The mean of the members' CRFs; None if they have none."""
        return self._decider.crf if self._is_crf else None

    @property
    def _is_crf(self) -> bool:
        return isinstance(self._first, CRFTransducer)

    def forward(self, inputs: Any) -> tuple[Sequences, None]:
        scores = [member(inputs)[0] for member in self._each]
        if self._is_crf:
            return scores[0].replace(torch.stack([s.data for s in scores]).mean(dim=0)), None
        return scores[0].replace(log_mean([s.data.log_softmax(dim=2) for s in scores])), None

    def loss(self, inputs: Any, targets: Sequences, state: None = None) -> Loss:
        scores, _ = self(inputs)
        if self._is_crf:
            total = -self._decider.crf.log_likelihood(scores, targets).sum()
        else:
            total = F.nll_loss(scores.items(), targets.items(), reduction="sum")
        return Loss(total, int(targets.lengths.sum()))

    def probabilities(self, scores: Sequences) -> Sequences:
        return self._decider.probabilities(scores)

    def decide(self, scores: Sequences) -> Sequences:
        return self._decider.decide(scores)


class GeneratorEnsemble(Ensemble):
    """Generators: at each step the mean of the members' probabilities of the next symbol."""

    def initial_state(self, batch_size: int) -> State:
        return tuple(member.initial_state(batch_size) for member in self._each)

    def forward(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """Symbols `[B, T]` → log-probabilities of the next `[B, T, V]`, and the members' final states."""
        states = [None] * len(self.members) if state is None else state
        found = [member(inputs, own) for member, own in zip(self._each, states, strict=True)]
        scores = [own for own, _ in found]
        log_probabilities = scores[0].replace(log_mean([s.data.log_softmax(dim=2) for s in scores]))
        return log_probabilities, tuple(final for _, final in found)

    def loss(self, inputs: Sequences, targets: Sequences, state: State | None = None) -> Loss:
        scores, state = self(inputs, state)
        wanted = targets.items()
        return Loss(F.nll_loss(scores.items(), wanted, reduction="sum"), len(wanted), state)

    @torch.inference_mode()
    def array_step(self, ids: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """What `stepscan.decoding` drives."""
        tokens = torch.from_numpy(ids).to(self.embedding.weight.device)
        found = [member.step(tokens, own) for member, own in zip(self._each, state, strict=True)]
        mean = log_mean([scores.log_softmax(dim=1) for scores, _ in found])
        return mean.cpu().numpy(), tuple(own for _, own in found)


class ConditionedGeneratorEnsemble(Ensemble):
    """Conditioned generators: each encodes the source, and they write together."""

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__(members)
        self.generator = GeneratorEnsemble([member.generator for member in members])

    def initial_state(self, source: Sequences) -> State:
        return tuple(member.initial_state(source) for member in self._each)

    def loss(self, inputs: tuple[Sequences, Sequences], targets: Sequences, state: None = None) -> Loss:
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


def can_join(member: nn.Module) -> bool:
    """Whether there are ensembles of such patterns; of forecasters there are none."""
    return type(member) in _ENSEMBLES


def join(members: Sequence[nn.Module]) -> Ensemble:
    """The ensemble of trained patterns of one kind."""
    return _ENSEMBLES[type(members[0])](members)


@torch.no_grad()
def mean_weights(model: nn.Module, others: Sequence[nn.Module]) -> None:
    """Give `model` the mean of the weights of `others`, which have the same; whole numbers are those of the first."""
    of_others = [other.state_dict() for other in others]
    for name, tensor in model.state_dict().items():
        values = [weights[name] for weights in of_others]
        whole = not tensor.is_floating_point()
        tensor.copy_(values[0] if whole else torch.stack([v.double() for v in values]).mean(dim=0))
