"""Weight drop: dropout of hidden-to-hidden weights (DropConnect, Wan et al. 2013; Merity et al. 2018)."""

from __future__ import annotations

import torch

from stepscan.contract import Recurrence
from stepscan.definitions import wrappers as definitions
from stepscan.dropout_masks import dropout
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


@register("weight_drop")
class WeightDrop(definitions.WeightDrop, Recurrence):
    """In training, `scan` sets each weight to 0 with probability `p` and scales the others by 1/(1−p).

    The mask is the same for all steps and rows of a scan, so that fused kernels can be used. `step` on its own does not
    drop weights.

    Args:
        layer: a Recurrence.
        p: probability that a weight is dropped.
        name: name of the parameters, in the layer or in any layer inside it.

    Raises:
        TypeError: `layer` is not a Recurrence.
        ValueError: `p` is not in [0, 1), or there are no such parameters.
    """

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        if not (self.training and self.p):
            return self.layer(inputs, state)
        weights = {name: dropout(self.layer.get_parameter(name), self.p) for name in self.dropped}
        return torch.func.functional_call(self.layer, weights, (inputs, state))
