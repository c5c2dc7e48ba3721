"""Dropout in training: plain, drawn anew for every item; and variational, one mask for a whole sequence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stepscan.contract import Pointwise
from stepscan.dropout_masks import dropout
from stepscan.fields import check_probability
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


@register("dropout")
class Dropout(Pointwise):
    """Each number is dropped with probability `p` in training, the others grow by 1/(1−p) (Srivastava et al. 2014).

    Args:
        size: the width, in and out.
        p: probability.
    """

    def __init__(self, size: int, p: float) -> None:
        super().__init__()
        check_probability(p=p)
        self.input_size = self.output_size = size
        self.p = p

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        return dropout(x, self.p, self.training)


class VariationalState(NamedTuple):
    y: Tensor  # [B, I], the last output
    mask: Tensor  # [B, I], 0 or 1/(1−p); ones outside training


@register("variational_dropout")
class VariationalDropout(Dropout):
    """The same numbers dropped at every step of a sequence (Gal & Ghahramani 2016).

    The mask lives in the state: drawn by `initial_state`, carried through windows, drawn anew by `renew`.

    Args:
        size: the width, in and out.
        p: probability.
    """

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> VariationalState:
        zeros = self.zeros(batch_size, self.output_size, device, dtype)
        return VariationalState(zeros, dropout(torch.ones_like(zeros), self.p, self.training))

    def renew(self, state: VariationalState) -> VariationalState:
        return VariationalState(state.y, dropout(torch.ones_like(state.mask), self.p, self.training))

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        assert state is not None  # `scan` and `step` always have one
        mask = state.mask
        return x * (mask if x.dim() == mask.dim() else mask[:, None])

    def step(self, x: Tensor, state: VariationalState) -> tuple[Tensor, VariationalState]:
        y = self.transform(x, state)
        return y, VariationalState(y, state.mask)

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        if state is None:
            state = self.initial_state(len(inputs), device=inputs.data.device, dtype=inputs.data.dtype)
        outputs, y = super().scan(inputs, state)
        return outputs, VariationalState(y, state.mask)
