"""An average of the weights over training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of the weights (Polyak & Juditsky 1992); within `with`, the model has the average.

    The decay rises with the number of updates n, `min(decay, (1 + n) / (10 + n))`, so that the initial weights count
    little.

    Args:
        model: its parameters are averaged.
        decay: 0 for no average: within `with`, the model then has its current weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.names, self.parameters = zip(*model.named_parameters(), strict=True)
        self.values = [parameter.detach().clone() for parameter in self.parameters] if decay else []

    def update(self) -> None:
        """Called after an update of the weights."""
        if self.decay:
            self.updates += 1
            share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
            torch._foreach_lerp_(self.values, [parameter.detach() for parameter in self.parameters], share)

    def restart(self, weights: Mapping[str, Tensor]) -> None:
        """Set the averages to these weights, by name."""
        for name, value in zip(self.names if self.values else (), self.values, strict=True):
            value.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: `updates`, and the averages by the parameters' names."""
        return {
            "updates": self.updates,
            "values": dict(zip(self.names if self.values else (), self.values, strict=True)),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.updates = state["updates"]
        self.restart(state["values"])

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *error: object) -> None:
        self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters if self.values else (), self.values, strict=True):
                weights = parameter.detach().clone()
                parameter.copy_(value)
                value.copy_(weights)
