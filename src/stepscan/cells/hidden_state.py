"""The state of a cell that carries its output and nothing else."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class HiddenState(NamedTuple):
    h: Tensor  # [B, H]
