"""What every pattern's `loss` gives to the training loop."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from stepscan.state import State


class Loss(NamedTuple):
    total: Tensor  # summed over the items
    items: int  # how many it was summed over
    state: State | None = None  # where the next window goes on, for patterns that carry one
