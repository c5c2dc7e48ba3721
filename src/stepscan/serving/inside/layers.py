"""The layers of a model one after the other: what each of them read and what it answered.

The runtime runs a model as one native tree, which shows nothing of its middle. Here the same tree is run in parts, each
of them native, so that the outputs have the same bits.

Dimension letters: T steps of a sequence, W steps that are looked at, I input size, H output size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.weights import Weights


class LayerOutputs(NamedTuple):
    """One layer at W steps of a sequence, in the order in which it reads them."""

    layer: Any  # its definition
    weights: Weights  # in the scope of the layer
    direction: str  # "forward" or "backward" inside a bidirectional layer, else empty
    inputs: Array  # [W, I]
    outputs: Array  # [W, H]
    state: Array  # [S], before the first of these steps


class Look(NamedTuple):
    """What is looked at, and what was found so far."""

    last_steps: int  # of the sequence
    found: list[LayerOutputs]
    direction: str = ""

    def window(self, steps: int) -> slice:
        """Which of so many steps are looked at, in the order in which they are read: from the end on, the first."""
        if self.direction == "backward":
            return slice(0, min(steps, self.last_steps))
        return slice(max(0, steps - self.last_steps), steps)


Part = Callable[[Batch, Look], Batch]  # maps a batch of one row, and notes what its layers do


def bound_parts(layer: Any, weights: Weights) -> Part:
    """A tree of layers, bound in parts.

    Args:
        layer: the tree's definition, as `specify` makes it: it is bound here.
        weights: the tensors of the tree.

    Returns:
        A function of a batch `[1, T, I]` and a `Look`, which notes every layer that remembers, from the lowest on, and
        returns the outputs `[1, T, H]`.
    """
    return _WAYS.get(layer.registered_name, _whole)(layer, weights)


def _whole(layer: Any, weights: Weights) -> Part:
    bound = layer.bind(weights)

    def run(inputs: Batch, look: Look) -> Batch:
        if layer.is_pointwise:
            return bound(inputs)[0]
        window = look.window(inputs.steps)
        outputs, state = _scan(bound, inputs, window.start if layer.causal else 0)
        seen = inputs.data[0, window], outputs.data[0, window]
        look.found.append(LayerOutputs(layer, weights, look.direction, *seen, state[0]))
        return outputs

    return run


def _scan(bound: Any, inputs: Batch, start: int) -> tuple[Batch, Array]:
    """The outputs of a layer, and its state before the step `start`."""
    before, state = bound(_piece(inputs, 0, start), bound.initial_state(1))
    after, _ = bound(_piece(inputs, start, inputs.steps), state)
    return inputs.replace(np.concatenate([before.data, after.data], axis=1)), state


def _stack(layer: Any, weights: Weights) -> Part:
    parts = [bound_parts(one, weights.scope(path)) for path, one in layer.nested().items()]

    def run(inputs: Batch, look: Look) -> Batch:
        for part in parts:
            inputs = part(inputs, look)
        return inputs

    return run


def _residual(layer: Any, weights: Weights) -> Part:
    part = _inner(layer, weights)
    return lambda inputs, look: inputs.replace(inputs.data + part(inputs, look).data)


def _bidirectional(layer: Any, weights: Weights) -> Part:
    paths = ("forward_layer", "backward_layer")
    forward, backward = (bound_parts(getattr(layer, path), weights.scope(path)) for path in paths)

    def run(inputs: Batch, look: Look) -> Batch:
        first = forward(inputs, look._replace(direction="forward"))
        second = backward(inputs.reversed(), look._replace(direction="backward")).reversed()
        return inputs.replace(np.concatenate([first.data, second.data], axis=2))

    return run


def _inner(layer: Any, weights: Weights) -> Part:
    return bound_parts(layer.layer, weights.scope("layer"))


def _piece(batch: Batch, start: int, stop: int) -> Batch:
    data = batch.data[:, start:stop]
    return Batch(data, np.full(len(data), stop - start, np.int64))


_WAYS: dict[str, Callable[[Any, Weights], Part]] = {
    "bidirectional": _bidirectional,
    "residual": _residual,
    "stack": _stack,
    "weight_drop": _inner,
}


def numbered(found: Sequence[LayerOutputs]) -> list[tuple[int, LayerOutputs]]:
    """The layers with their numbers from 1; both directions of a bidirectional layer have the same."""
    pairs: list[tuple[int, LayerOutputs]] = []
    for one in found:
        last = pairs[-1][0] if pairs else 0
        pairs.append((last if one.direction == "backward" else last + 1, one))
    return pairs
