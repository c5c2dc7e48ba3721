"""Zoneout: elements of the state randomly keep their previous value (Krueger et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from stepscan.combinators.wrapper import Wrapper
from stepscan.contract import Recurrence
from stepscan.fields import check_probability
from stepscan.registry import register
from stepscan.state import State, leaves, map_state


@register("zoneout")
class Zoneout(Wrapper):
    """`s_t = d_t ⊙ s_{t−1} + (1 − d_t) ⊙ R(s_{t−1}, x_t)`: in training `d_t ~ Bernoulli(p)`, otherwise `d_t = p`.

    The output is the readout of the mixed state. Masks are sampled at each step, so that `scan` is a loop over `step`.

    Args:
        layer: a Recurrence whose state has only floating-point leaves `[B, H]`.
        p: probability that an element keeps its value.

    Raises:
        TypeError: `layer` is not a Recurrence.
        ValueError: `p` is not in [0, 1), or the state has other leaves, such as a cache.
    """

    def __init__(self, layer: Recurrence, p: float) -> None:
        super().__init__(layer)
        check_probability(p=p)
        if not all(leaf.is_floating_point() and leaf.dim() == 2 for leaf in leaves(layer.initial_state(1))):
            raise ValueError(
                f"Zoneout: expected a layer whose state has only floating-point leaves [B, H], got {layer.signature}"
            )
        self.p = p

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        _, new = self.layer.step(x, state)
        mixed = map_state(self._mix, state, new)
        return self.layer.readout(mixed), mixed

    def _mix(self, old: Tensor, new: Tensor) -> Tensor:
        if self.training:
            return torch.where(torch.rand_like(new) < self.p, old, new)
        return self.p * old + (1 - self.p) * new
