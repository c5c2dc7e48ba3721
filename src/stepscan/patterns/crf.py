"""Training of a linear-chain conditional random field (Lafferty et al. 2001): its likelihood, with gradients.

`stepscan.definitions.crf` has the model and its predictions. Dimension letters: B batch, T time, K tags.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from stepscan.backends.tensors import as_given
from stepscan.decoding.transitions import FORBIDDEN
from stepscan.definitions import crf as definitions
from stepscan.definitions import transducer as transducer_definitions
from stepscan.modules import Module
from stepscan.patterns.loss import Loss
from stepscan.patterns.transducer import Transducer
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


class CRF(definitions.CRF, Module):
    """The transition scores of a linear-chain CRF, with those of first and last tags.

    Args:
        tags: K.
        forbidden: transitions `[from, to]` whose paths have probability exactly 0; `[-1, tag]` for a first tag,
            `[tag, -1]` for a last one. At least one path of each length must be allowed.

    Raises:
        ValueError: a pair has an invalid id, or every first tag, every last tag, or all successors of a tag are
            forbidden.
    """

    allowed: Tensor
    may_start: Tensor
    may_end: Tensor

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, array in zip(("allowed", "may_start", "may_end"), self.masks, strict=True):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        for weight in (self.transitions, self.start, self.end):
            nn.init.zeros_(weight)

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transitions `[K, K]` (from, to), start `[K]` and end `[K]`, `FORBIDDEN` where a transition is."""
        masks = ~self.allowed, ~self.may_start, ~self.may_end
        weights = self.transitions, self.start, self.end
        transitions, start, end = (
            weight.masked_fill(mask, FORBIDDEN) for weight, mask in zip(weights, masks, strict=True)
        )
        return transitions, start, end

    def log_likelihood(self, scores: Sequences, tags: Sequences) -> Tensor:
        """Log-probability `[B]` of the paths `tags [B, T]` under `scores [B, T, K]`; an empty path has 0.

        Raises:
            ValueError: a path has a forbidden transition.
        """
        data, path, mask = scores.zeroed().data, tags.zeroed().data, scores.mask
        if not scores.steps:
            return data.sum(dim=(1, 2))  # zeros with a gradient, so that a batch of empty paths can be trained on
        self._check_allowed(path, mask)
        transitions, start, end = self.weights()
        emissions = data.gather(2, path[..., None])[..., 0]
        path_transitions = transitions[path[:, :-1], path[:, 1:]]
        total = torch.where(mask, emissions, 0).sum(1) + torch.where(mask[:, 1:], path_transitions, 0).sum(1)
        total = total + start[path[:, 0]] + end[tags.last()]
        return torch.where(scores.lengths > 0, total - self.log_partition(scores), 0)

    def log_partition(self, scores: Sequences) -> Tensor:
        """log Σ exp S over all paths, `[B]`; 0 for a sequence of length 0."""
        transitions, start, end = self.weights()
        alpha = _forward(scores, transitions, start).last()
        return torch.where(scores.lengths > 0, torch.logsumexp(alpha + end, dim=1), 0)

    def best_paths(self, scores: Any) -> Any:
        """See `stepscan.definitions.crf.CRF.best_paths`; of `Sequences`, `Sequences`."""
        return as_given(scores, super().best_paths(scores))

    def marginals(self, scores: Any) -> Any:
        """See `stepscan.definitions.crf.CRF.marginals`; of `Sequences`, `Sequences`."""
        return as_given(scores, super().marginals(scores))

    def _check_allowed(self, path: Tensor, mask: Tensor) -> None:
        is_allowed = torch.cat([self.may_start[path[:, :1]], self.allowed[path[:, :-1], path[:, 1:]]], dim=1) | ~mask
        is_last = mask & ~torch.nn.functional.pad(mask[:, 1:], (0, 1))
        is_allowed &= self.may_end[path] | ~is_last
        if not is_allowed.all():
            row, step = (~is_allowed).nonzero()[0].tolist()
            raise ValueError(f"tags: expected allowed transitions, got a forbidden one in row {row} at step {step}")


def _forward(scores: Sequences, transitions: Tensor, start: Tensor) -> Sequences:
    """The forward variables α: log Σ exp S over all paths up to an item that end in a tag, `[B, T, K]`."""
    if not scores.steps:
        return scores
    first, *later = scores.zeroed().data.unbind(dim=1)
    alphas, scaled = [start + first], _ScaledTransitions.from_logs(transitions)
    for items in later:
        alphas.append(_Transition.apply(alphas[-1], transitions, scaled) + items)
    return scores.replace(torch.stack(alphas, dim=1)).zeroed()


class _ScaledTransitions(NamedTuple):
    """Transition scores as scaled exponentials: `transitions = maximum + log exponentials`."""

    maximum: Tensor  # [K], over the transitions to each tag
    exponentials: Tensor  # [K, K], 0 … 1

    @classmethod
    def from_logs(cls, transitions: Tensor) -> _ScaledTransitions:
        maximum = transitions.detach().amax(dim=0)
        return cls(maximum, (transitions.detach() - maximum).exp())


class _Transition(Function):
    """`log Σ_i exp(alpha[b, i] + transitions[i, j])`, `[B, K]`, by a matrix product instead of an array `[B, K, K]`.

    Sums that underflow (all probable predecessors of a tag are forbidden) are computed by logsumexp.
    """

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, transitions: Tensor, scaled: _ScaledTransitions) -> Tensor:
        maximum = alpha.amax(dim=1, keepdim=True)
        sums = (alpha - maximum).exp() @ scaled.exponentials
        log_sums = sums.log() + maximum + scaled.maximum
        rows, tags = (sums < _underflow(sums)).nonzero(as_tuple=True)
        for chunk in _chunks(rows, transitions):
            log_sums[rows[chunk], tags[chunk]] = (alpha[rows[chunk]] + transitions.T[tags[chunk]]).logsumexp(dim=1)
        ctx.save_for_backward(alpha, transitions, sums, rows, tags)
        ctx.scaled = scaled
        return log_sums

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """The gradient with respect to each term is that of its sum times the term's share in it."""
        alpha, transitions, sums, rows, tags = ctx.saved_tensors
        scaled: _ScaledTransitions = ctx.scaled
        weights = (alpha - alpha.amax(dim=1, keepdim=True)).exp()
        quotients = torch.where(sums < _underflow(sums), 0, gradient / sums)
        d_alpha = weights * (quotients @ scaled.exponentials.T)
        d_transitions = scaled.exponentials * (weights.T @ quotients)
        for chunk in _chunks(rows, transitions):
            row, tag = rows[chunk], tags[chunk]
            terms = (alpha[row] + transitions.T[tag]).softmax(dim=1) * gradient[row, tag, None]
            d_alpha.index_add_(0, row, terms)
            d_transitions.T.index_add_(0, tag, terms)
        return d_alpha, d_transitions, None


def _underflow(sums: Tensor) -> float:
    """The bound below which a sum of exponentials is too inaccurate."""
    return torch.finfo(sums.dtype).tiny ** 0.5


def _chunks(rows: Tensor, transitions: Tensor) -> list[Tensor]:
    """Indices of `rows` in chunks whose terms take no more memory than the transitions."""
    return list(torch.arange(len(rows), device=rows.device).split(max(1, len(transitions)))) if len(rows) else []


@register("crf_transducer")
class CRFTransducer(transducer_definitions.CRFTransducer, Transducer):
    """A transducer whose outputs are the emission scores of a CRF.

    Args:
        embedding: ids → vectors; None if the inputs are vectors.
        layer: any Layer.
        outputs: K, the number of tags.
        dropout: probability for the layer's outputs in training.
        forbidden: forbidden transitions; see `CRF`.
    """

    crf_class = CRF

    def __post_init__(self) -> None:
        super().__post_init__()
        self._modules["crf"] = self._modules.pop("crf")  # after the head: the order of the parameters

    def loss(self, inputs: Any, targets: Sequences, state: State | None = None) -> Loss:
        """The negative log-likelihood of `targets [B, T]`, summed over sequences; `items` counts their items."""
        scores, _ = self(inputs)
        return Loss(-self.crf.log_likelihood(scores, targets).sum(), int(targets.lengths.sum()))

    def predict(self, scores: Any) -> Any:
        """See `stepscan.definitions.transducer.CRFDecoder.predict`; of `Sequences`, `Sequences`."""
        return as_given(scores, super().predict(scores))

    def probabilities(self, scores: Any) -> Any:
        """See `stepscan.definitions.transducer.CRFDecoder.probabilities`; of `Sequences`, `Sequences`."""
        return as_given(scores, super().probabilities(scores))
