"""What a trained model costs in use: the size of a row's state, and the time of a step."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stepscan.backends.layers import NativeLayer
from stepscan.backends.python_layers import PythonLayer, new_stream
from stepscan.errors import UnsupportedLayer

_STEPS, _ROUNDS = 256, 7


class RunningCost(NamedTuple):
    """What the layers of a model cost in use; None where they look ahead, attend to a memory, or run only
    through PyTorch.

    Attributes:
        state_bytes: of the state of one sequence that has read 256 items.
        step_microseconds: of a step of one sequence without PyTorch, on one thread: the median of seven blocks of 256.
    """

    state_bytes: int | None = None
    step_microseconds: float | None = None


def running_cost(folder: str | Path) -> RunningCost:
    """Measure the layers of the model in a folder."""
    from stepscan.runtime import load

    try:
        layer = getattr(load(folder).network_, "layer", None)  # a translator has two, the decoder's with a memory
    except UnsupportedLayer:
        return RunningCost()
    if not isinstance(layer, NativeLayer | PythonLayer) or not layer.causal:
        return RunningCost()
    x = np.random.default_rng(0).standard_normal((_STEPS, layer.input_size)).astype(np.float32)
    y = np.empty((_STEPS, layer.output_size), np.float32)
    seconds = []
    for _ in range(_ROUNDS):
        stream = new_stream(layer)
        started = time.perf_counter()
        stream.push(x, y, 1)
        seconds.append(time.perf_counter() - started)
    return RunningCost(stream.bytes, statistics.median(seconds) / _STEPS * 1e6)
