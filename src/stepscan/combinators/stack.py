"""Stack: layers in sequence, as in `nn.Sequential`; the outputs of each are the inputs of the next."""

from __future__ import annotations

import torch
from torch import nn

from stepscan.contract import Layer, Recurrence
from stepscan.definitions import stack as definitions
from stepscan.registry import register
from stepscan.state import State


@register("stack")
class Stack(definitions.Stack, Layer):
    """Layers in sequence. A `Recurrence` exactly when all of them are; its state is the tuple of theirs.

    Args:
        layers: at least one; the input size of each is the output size of the previous one.

    Raises:
        TypeError: `layers` is not a list of Layers.
        ValueError: it is empty, or two sizes do not match.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.layers = nn.ModuleList(self.layers)


class RecurrentStack(definitions.RecurrentStack, Stack, Recurrence):
    """A Stack of Recurrences."""

    registered_name = "stack"

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> State:
        if device is None or dtype is None:  # a layer without parameters, such as Dropout, would choose its own
            like = self.zeros(0, 0, device, dtype)
            device, dtype = like.device, like.dtype
        return super().initial_state(batch_size, device=device, dtype=dtype)


Stack.recurrent_class = RecurrentStack
