"""Stack: layers in sequence, as in `nn.Sequential`; the outputs of each are the inputs of the next."""

from __future__ import annotations

from torch import nn

from stepscan.contract import Layer, Recurrence
from stepscan.definitions import stack as definitions
from stepscan.registry import register


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


Stack.recurrent_class = RecurrentStack
