"""The optimiser: AdamW, whose state is written to checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from stepscan.options import TrainingOptions


class AdamW(torch.optim.AdamW):
    """AdamW (Loshchilov & Hutter 2019) with weight decay on matrices only, not on biases and normalisation.

    Args:
        model: its parameters that require gradients are trained.
        settings: uses `learning_rate` and `weight_decay`.
    """

    def __init__(self, model: nn.Module, settings: TrainingOptions) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
        ]
        super().__init__([group for group in groups if group["params"]], lr=settings.learning_rate, fused=True)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update, the same for all parameters."""
        return float(self.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    def state_dict(self) -> dict[str, Any]:
        """`learning_rate`, and the `moments` by parameter; the groups follow from model and settings."""
        moments = super().state_dict()["state"]
        return {"learning_rate": self.learning_rate, "moments": {str(i): moment for i, moment in moments.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        moments = {int(i): moment for i, moment in state_dict["moments"].items()}
        super().load_state_dict({"state": moments, "param_groups": super().state_dict()["param_groups"]})
        self.learning_rate = state_dict["learning_rate"]
