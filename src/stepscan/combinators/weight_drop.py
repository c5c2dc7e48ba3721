"""Weight drop: dropout on the weights from hidden state to hidden state (DropConnect; Merity et al. 2018)."""

from __future__ import annotations

import torch

from stepscan.combinators.wrapper import Wrapper
from stepscan.contract import Recurrence
from stepscan.dropout_masks import dropout
from stepscan.fields import check_probability
from stepscan.registry import register
from stepscan.sequences import Sequences
from stepscan.state import State


@register("weight_drop")
class WeightDrop(Wrapper):
    """In training each `scan` runs with weights some of which are 0 and the others 1/(1−p) times as large.

    One draw for all steps and rows of a scan, that is once a window; the fused kernels run as ever. `step` alone uses
    the weights as they are.

    Args:
        layer: a Recurrence.
        p: probability that a weight is dropped.
        name: of the weights, wherever in the layer they are.

    Raises:
        ValueError: `p` is no probability below 1, or the layer has no such weights.
    """

    def __init__(self, layer: Recurrence, p: float, name: str = "weight_hh") -> None:
        super().__init__(layer)
        check_probability(p=p)
        self.p = p
        self.dropped = [full for full, _ in layer.named_parameters() if full.split(".")[-1] == name]
        if not self.dropped:
            raise ValueError(f"weight drop needs weights named {name}, but {layer.described} has none")

    def scan(self, inputs: Sequences, state: State | None = None) -> tuple[Sequences, State]:
        if not (self.training and self.p):
            return self.layer(inputs, state)
        weights = {name: dropout(self.layer.get_parameter(name), self.p) for name in self.dropped}
        return torch.func.functional_call(self.layer, weights, (inputs, state))
