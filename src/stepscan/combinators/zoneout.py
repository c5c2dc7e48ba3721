"""Zoneout: elements of the state randomly keep their previous value (Krueger et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from stepscan.contract import Recurrence
from stepscan.definitions import wrappers as definitions
from stepscan.definitions.layer import scan_by_steps
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State, map_state


@register("zoneout")
class Zoneout(definitions.Zoneout, Recurrence):
    """`s_t = d_t ⊙ s_{t−1} + (1 − d_t) ⊙ R(s_{t−1}, x_t)`: in training `d_t ~ Bernoulli(p)`, otherwise `d_t = p`.

    The output is the readout of the mixed state. Masks are sampled at each step, so that `scan` is a loop over `step`.

    Args:
        layer: a Recurrence whose state has only floating-point leaves `[B, H]`.
        p: probability that an element keeps its value.

    Raises:
        TypeError: `layer` is not a Recurrence.
        ValueError: `p` is not in [0, 1), or the state has other leaves, such as a cache.
    """

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        """A loop over `step`."""
        return scan_by_steps(self, inputs, state)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        _, new = self.layer.step(x, state)
        mixed = map_state(self._mix, state, new)
        return self.layer.readout(mixed), mixed

    def _mix(self, old: Tensor, new: Tensor) -> Tensor:
        if self.training:
            return torch.where(torch.rand_like(new) < self.p, old, new)
        return self.p * old + (1 - self.p) * new
