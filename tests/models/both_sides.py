"""A pattern on both sides, with torch and without, and what the tests of the networks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import stepscan as ss
from stepscan.backends.batches import Batch
from stepscan.backends.execution import Options
from stepscan.backends.weights import Weights
from stepscan.definitions.definition import specify
from stepscan.registry import describe
from zoo import VARIANTS

VOCABULARY, WIDTH, HIDDEN = 7, 5, 17
ROWS = [[1, 2, 3, 4, 5, 6, 1], [5], [], [6, 1, 2], [3, 3, 0, 2, 4]]

Cell = Callable[[int, int], ss.Recurrence]
CAUSAL: dict[str, Callable[[Cell], ss.Recurrence]] = {  # WIDTH → something
    "cell": lambda cell: cell(WIDTH, HIDDEN),
    "stack": lambda cell: ss.Stack([cell(WIDTH, HIDDEN), ss.Dropout(HIDDEN, 0.5), cell(HIDDEN, 9)]),
    "stack, pointwise on top": lambda cell: ss.Stack(
        [cell(WIDTH, 9), ss.VariationalDropout(9, 0.5), ss.LayerNorm(9), ss.Linear(9, HIDDEN)]
    ),
    "pointwise below": lambda cell: ss.Stack([ss.Linear(WIDTH, 3), ss.LayerNorm(3), cell(3, 4)]),
    "residual": lambda cell: ss.Stack([cell(WIDTH, HIDDEN), ss.Residual(cell(HIDDEN, HIDDEN))]),
    "residual of a stack": lambda cell: ss.Residual(ss.Stack([cell(WIDTH, 3), ss.Linear(3, WIDTH)])),
    "zoneout": lambda cell: ss.Zoneout(cell(WIDTH, HIDDEN), 0.3),
    "weight drop of zoneout": lambda cell: ss.WeightDrop(ss.Zoneout(cell(WIDTH, 4), 0.2), 0.5),
    "zoneout of a stack": lambda cell: ss.Zoneout(ss.Stack([cell(WIDTH, 4), cell(4, 3)]), 0.2),
    "stack in a stack": lambda cell: ss.Stack([ss.Stack([cell(WIDTH, 4), ss.LayerNorm(4)]), cell(4, 3)]),
}
BOTH_WAYS: dict[str, Callable[[Cell], ss.Layer]] = {
    "bidirectional": lambda cell: ss.Bidirectional(cell(WIDTH, HIDDEN), cell(WIDTH, 3)),
    "deep bidirectional": lambda cell: ss.Stack(
        [
            ss.Bidirectional(cell(WIDTH, 4), cell(WIDTH, 4)),
            ss.Dropout(8, 0.5),
            ss.Bidirectional(cell(8, 3), ss.GRU(8, 3)),
            ss.LayerNorm(6),
        ]
    ),
    "bidirectional of stacks": lambda cell: ss.Bidirectional(
        ss.Stack([cell(WIDTH, 4), ss.LayerNorm(4)]), ss.Residual(cell(WIDTH, WIDTH))
    ),
    "residual of bidirectional": lambda cell: ss.Residual(
        ss.Bidirectional(cell(WIDTH, 2), ss.Zoneout(cell(WIDTH, 3), 0.1))
    ),
}


def made(make: Callable[[], Any]) -> Any:
    """A pattern with random weights, biases and gains among them, that answers."""
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def arrays(model: Any) -> dict[str, np.ndarray]:
    """The tensors of a pattern, as a model folder holds them."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def without_torch(model: Any, options: Options | None = None) -> Any:
    """The same pattern, built of its description and its tensors alone."""
    return specify(describe(model)).bind(Weights(arrays(model), options or Options()))


def scan(layer: Any, data: np.ndarray, lengths: Any, state: Any = None) -> tuple[np.ndarray, Any]:
    """A layer on arrays, over `data [B, T, I]` of these lengths: outputs `[B, T, H]` and the final state."""
    outputs, final = layer.scan(Batch(data, np.asarray(lengths)), state)
    return outputs.data, final


def same(found: Any, expected: torch.Tensor) -> None:
    """The same shape, dtype and bits (zeros of either sign are one)."""
    assert found.shape == expected.shape
    assert str(found.dtype) == str(expected.dtype).removeprefix("torch.")
    assert np.array_equal(found, expected.numpy()), np.abs(found - expected.numpy()).max()


def causal_layers() -> list[Any]:
    """A maker of each causal layer: every cell in every combinator."""
    return _crossed(CAUSAL)


def all_layers() -> list[Any]:
    """A maker of each layer."""
    return _crossed(CAUSAL | BOTH_WAYS)


def _crossed(combinators: dict[str, Callable[[Cell], Any]]) -> list[Any]:
    return [
        pytest.param(lambda cell=cell, combine=combine: combine(cell), id=f"{of_combinator}, {of_cell}")
        for of_combinator, combine in combinators.items()
        for of_cell, cell in VARIANTS.items()
    ]
