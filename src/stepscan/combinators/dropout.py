"""Dropout: standard, with a new mask for each item, and variational, with one mask per sequence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stepscan.contract import Pointwise
from stepscan.definitions import pointwise as definitions
from stepscan.definitions.layer import start
from stepscan.dropout_masks import dropout
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


@register("dropout")
class Dropout(definitions.Dropout, Pointwise):
    """In training, zeroes each element with probability `p` and scales the others by 1/(1−p) (Srivastava et al. 2014).

    Args:
        size: input and output size.
        p: probability.

    Raises:
        ValueError: `p` is not in [0, 1).
    """

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        return dropout(x, self.p, self.training)


class VariationalState(NamedTuple):
    y: Tensor  # [B, I], the last output
    mask: Tensor  # [B, I], 0 or 1/(1−p); 1 in evaluation mode


@register("variational_dropout")
class VariationalDropout(definitions.VariationalDropout, Dropout):
    """Dropout with the same mask at every step of a sequence (Gal & Ghahramani 2016).

    The mask is part of the state: `initial_state` samples it, and `renew` resamples it.

    Args:
        size: input and output size.
        p: probability.

    Raises:
        ValueError: `p` is not in [0, 1).
    """

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> VariationalState:
        zeros = self.zeros(batch_size, self.output_size, device, dtype)
        return VariationalState(zeros, dropout(torch.ones_like(zeros), self.p, self.training))

    def renew(self, state: VariationalState) -> VariationalState:
        return VariationalState(state.y, dropout(torch.ones_like(state.mask), self.p, self.training))

    def transform(self, x: Tensor, state: State | None = None) -> Tensor:
        assert state is not None  # `scan` and `step` always pass one
        mask = state.mask
        return x * (mask if x.dim() == mask.dim() else mask[:, None])

    def step(self, x: Tensor, state: VariationalState) -> tuple[Tensor, VariationalState]:
        y = self.transform(x, state)
        return y, VariationalState(y, state.mask)

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        state = start(self, inputs, state)
        outputs, y = super().scan(inputs, state)
        return outputs, VariationalState(y, state.mask)
