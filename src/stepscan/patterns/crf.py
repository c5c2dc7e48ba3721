"""Linear-chain conditional random field: a decision about a whole sequence of tags (Lafferty et al. 2001).

A path of tags y over scores s `[T, K]` has the score

    S(y) = start[y_1] + Σ_t s[t, y_t] + Σ_t transitions[y_{t−1}, y_t] + end[y_T]

and the probability exp S(y) / Σ_{y'} exp S(y') (Collobert et al. 2011, §3.4.2; Lample et al. 2016, §2.2). All sums over
paths are exact, by the forward algorithm (Rabiner 1989, §III); the best path is `stepscan.decoding.viterbi`.

Dimension letters: B batch, T time, K tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from stepscan.contract import Layer
from stepscan.decoding.transitions import FORBIDDEN, allowed_transitions
from stepscan.decoding.viterbi import viterbi
from stepscan.patterns.loss import Loss
from stepscan.patterns.transducer import Transducer
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


class CRF(nn.Module):
    """What follows what: learned scores of transitions, of first and of last tags.

    Args:
        tags: K.
        forbidden: pairs `[before, after]` of tags that never stand side by side; `[-1, tag]`: never first;
            `[tag, -1]`: never last. Paths with one have probability exactly 0. At least one path of each length must
            remain.

    Raises:
        ValueError: a pair names no tag, or forbids every first or last tag, or all that could follow a tag.
    """

    allowed: Tensor
    may_start: Tensor
    may_end: Tensor

    def __init__(self, tags: int, forbidden: Sequence[Sequence[int]] = ()) -> None:
        super().__init__()
        for name, array in zip(("allowed", "may_start", "may_end"), allowed_transitions(tags, forbidden), strict=True):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        self.transitions = nn.Parameter(torch.zeros(tags, tags))  # [from, to]
        self.start = nn.Parameter(torch.zeros(tags))
        self.end = nn.Parameter(torch.zeros(tags))

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Transitions `[K, K]` (from, to), start `[K]` and end `[K]`, with `FORBIDDEN` where that is so."""
        masks = ~self.allowed, ~self.may_start, ~self.may_end
        weights = self.transitions, self.start, self.end
        transitions, start, end = (
            weight.masked_fill(mask, FORBIDDEN) for weight, mask in zip(weights, masks, strict=True)
        )
        return transitions, start, end

    def log_likelihood(self, scores: Sequences, tags: Sequences) -> Tensor:
        """Log-probability `[B]` of the paths `tags [B, T]` under `scores [B, T, K]`; an empty path has 0.

        Raises:
            ValueError: a path has a forbidden transition; its row and place are named, from 0.
        """
        data, path, mask = scores.zeroed().data, tags.zeroed().data, scores.mask
        if not scores.steps:
            return data.sum(dim=(1, 2))  # zeros that have a gradient: a batch of empty paths trains nothing, in peace
        self._check_allowed(path, mask)
        transitions, start, end = self.weights()
        at_items = data.gather(2, path[..., None])[..., 0]
        between = transitions[path[:, :-1], path[:, 1:]]
        total = torch.where(mask, at_items, 0).sum(1) + torch.where(mask[:, 1:], between, 0).sum(1)
        total = total + start[path[:, 0]] + end[tags.last()]
        return torch.where(scores.lengths > 0, total - self.log_partition(scores), 0)

    def log_partition(self, scores: Sequences) -> Tensor:
        """Log of the sum of exp S over all paths, `[B]`; of a sequence of length 0 it is 0."""
        transitions, start, end = self.weights()
        reached = _forward(scores, transitions, start).last()
        return torch.where(scores.lengths > 0, torch.logsumexp(reached + end, dim=1), 0)

    def marginals(self, scores: Sequences) -> Sequences:
        """Probability of each tag at each item, over all paths: `[B, T, K]` (forward–backward)."""
        transitions, start, end = self.weights()
        before = _forward(scores, transitions, start)
        after = _forward(scores.reversed(), transitions.T, end).reversed()
        both = before.data + after.data - scores.zeroed().data
        return scores.replace(both.softmax(dim=2)).zeroed()

    def best_paths(self, scores: Sequences) -> Sequences:
        """The most probable path of each row, `[B, T]`."""
        weights = [weight.detach().cpu().numpy() for weight in self.weights()]
        found = viterbi(scores.zeroed().data.detach().cpu().numpy(), scores.lengths.cpu().numpy(), *weights)
        return scores.replace(torch.from_numpy(found).to(scores.data.device), zeroed=True)

    def _check_allowed(self, path: Tensor, mask: Tensor) -> None:
        fine = torch.cat([self.may_start[path[:, :1]], self.allowed[path[:, :-1], path[:, 1:]]], dim=1) | ~mask
        last = mask & ~torch.nn.functional.pad(mask[:, 1:], (0, 1))
        fine &= self.may_end[path] | ~last
        if not fine.all():
            row, place = (~fine).nonzero()[0].tolist()
            raise ValueError(f"row {row} has a transition at place {place} that the CRF forbids")


def _forward(scores: Sequences, transitions: Tensor, start: Tensor) -> Sequences:
    """Log of the sum of exp S over all paths that reach a tag, up to and with its item: `[B, T, K]`."""
    if not scores.steps:
        return scores
    first, *later = scores.zeroed().data.unbind(dim=1)
    reached, shares = [start + first], _Shares.of(transitions)
    for items in later:
        reached.append(_Passed.apply(reached[-1], transitions, shares) + items)
    return scores.replace(torch.stack(reached, dim=1)).zeroed()


class _Shares(NamedTuple):
    """Transitions as products take them: `transitions = highest + log shares`."""

    highest: Tensor  # [K], of each tag's transitions from before
    shares: Tensor  # [K, K], 0 … 1

    @classmethod
    def of(cls, transitions: Tensor) -> _Shares:
        highest = transitions.detach().amax(dim=0)
        return cls(highest, (transitions.detach() - highest).exp())


class _Passed(Function):
    """`log Σ_i exp(before[b, i] + transitions[i, j])`, `[B, K]`, as a product of exponentials: `[B, K, K]` is neither
    made nor kept. Where a sum is too small for such numbers (all that is likely before a tag is forbidden before it),
    it is taken again, in logarithms."""

    @staticmethod
    def forward(ctx: Any, before: Tensor, transitions: Tensor, shares: _Shares) -> Tensor:
        highest = before.amax(dim=1, keepdim=True)
        sums = (before - highest).exp() @ shares.shares
        found = sums.log() + highest + shares.highest
        rows, tags = (sums < _smallest(sums)).nonzero(as_tuple=True)
        for some in _few(rows, transitions):
            found[rows[some], tags[some]] = (before[rows[some]] + transitions.T[tags[some]]).logsumexp(dim=1)
        ctx.save_for_backward(before, transitions, sums, rows, tags)
        ctx.shares = shares
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """A gradient of a tag is shared out among those before it, as each has its share in the sum."""
        before, transitions, sums, rows, tags = ctx.saved_tensors
        shares: _Shares = ctx.shares
        weights = (before - before.amax(dim=1, keepdim=True)).exp()
        parts = torch.where(sums < _smallest(sums), 0, gradient / sums)
        of_before = weights * (parts @ shares.shares.T)
        of_transitions = shares.shares * (weights.T @ parts)
        for some in _few(rows, transitions):
            row, tag = rows[some], tags[some]
            part = (before[row] + transitions.T[tag]).softmax(dim=1) * gradient[row, tag, None]
            of_before.index_add_(0, row, part)
            of_transitions.T.index_add_(0, tag, part)
        return of_before, of_transitions, None


def _smallest(sums: Tensor) -> float:
    """Below it a sum of exponentials has lost too much to rounding towards 0."""
    return torch.finfo(sums.dtype).tiny ** 0.5


def _few(rows: Tensor, transitions: Tensor) -> list[Tensor]:
    """Places in `rows`, so many at a time that they take no more memory than the transitions."""
    return list(torch.arange(len(rows), device=rows.device).split(max(1, len(transitions)))) if len(rows) else []


@register("crf_transducer")
class CRFTransducer(Transducer):
    """A transducer that decides about all items of a sequence together: its head's scores go into a CRF.

    Args:
        embedding: ids → vectors; None if the inputs are vectors already.
        layer: any Layer.
        outputs: K, tags.
        dropout: probability for the layer's outputs in training.
        forbidden: pairs of tags; see `CRF`.
    """

    def __init__(
        self,
        embedding: nn.Module | None,
        layer: Layer,
        outputs: int,
        dropout: float = 0.0,
        forbidden: Sequence[Sequence[int]] = (),
    ) -> None:
        super().__init__(embedding, layer, outputs, dropout)
        self.crf = CRF(outputs, forbidden)

    def loss(self, inputs: Any, targets: Sequences, state: State | None = None) -> Loss:
        """Minus the log-likelihood of `targets [B, T]`, summed; counted by items."""
        scores, _ = self(inputs)
        return Loss(-self.crf.log_likelihood(scores, targets).sum(), int(targets.lengths.sum()))

    def probabilities(self, scores: Sequences) -> Sequences:
        return self.crf.marginals(scores)

    def decide(self, scores: Sequences) -> Sequences:
        return self.crf.best_paths(scores)
