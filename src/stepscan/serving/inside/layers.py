"""The layers of a model one after the other: what each of them read and what it answered.

The runtime runs a model as one native tree, which shows nothing of its middle. Here the same tree is run in parts, each
of them native, so that the outputs have the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from stepscan.backends.batches import Array, Batch
from stepscan.backends.weights import Weights


class LayerOutputs(NamedTuple):
    """One layer on one sequence of T items."""

    layer: Any  # its definition
    weights: Weights  # in the scope of the layer
    direction: str  # "forward" or "backward" inside a bidirectional layer, else empty
    inputs: Array  # [T, I], in the order in which the layer reads them
    outputs: Array  # [T, H], likewise


class _Walk:
    """A way through a tree of layers, which notes every layer that remembers.

    Args:
        notes: what is found.
    """

    def __init__(self, notes: list[LayerOutputs]) -> None:
        self._notes, self._direction = notes, ""
        self._ways: dict[str, Callable[[Any, Weights, Batch], Batch]] = {
            "bidirectional": self._bidirectional,
            "residual": self._residual,
            "stack": self._stack,
            "weight_drop": lambda layer, weights, inputs: self(layer.layer, weights.scope("layer"), inputs),
        }

    def __call__(self, layer: Any, weights: Weights, inputs: Batch) -> Batch:
        """The outputs `[1, T, H]` of an unbound layer."""
        way = self._ways.get(layer.registered_name, self._whole)
        return way(layer, weights, inputs)

    def _whole(self, layer: Any, weights: Weights, inputs: Batch) -> Batch:
        outputs = layer.bind(weights)(inputs)[0]
        if not layer.is_pointwise:
            self._notes.append(LayerOutputs(layer, weights, self._direction, inputs.data[0], outputs.data[0]))
        return outputs

    def _stack(self, layer: Any, weights: Weights, inputs: Batch) -> Batch:
        for path, one in layer.nested().items():
            inputs = self(one, weights.scope(path), inputs)
        return inputs

    def _residual(self, layer: Any, weights: Weights, inputs: Batch) -> Batch:
        return inputs.replace(inputs.data + self(layer.layer, weights.scope("layer"), inputs).data)

    def _bidirectional(self, layer: Any, weights: Weights, inputs: Batch) -> Batch:
        outer, found = self._direction, []
        for direction, batch in (("forward", inputs), ("backward", inputs.reversed())):
            self._direction, name = direction, f"{direction}_layer"
            found.append(self(getattr(layer, name), weights.scope(name), batch))
        self._direction = outer
        return inputs.replace(layer.ops.concat([found[0].data, found[1].reversed().data], axis=2))


def layer_outputs(layer: Any, weights: Weights, inputs: Batch) -> list[LayerOutputs]:
    """What the layers of a tree read and answer on one sequence, from the lowest on; layers that map each item on its
    own are left out.

    Args:
        layer: the tree's definition, as `specify` makes it: it is bound here.
        weights: the tensors of the tree.
        inputs: `[1, T, I]`.
    """
    notes: list[LayerOutputs] = []
    _Walk(notes)(layer, weights, inputs)
    return notes
