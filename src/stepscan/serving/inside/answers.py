"""What the server answers about the layers of a model, as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from stepscan.backends.batches import Array
from stepscan.errors import SettingsError
from stepscan.serving.inside.traces import LayerTrace, trace

MOST_ITEMS = 4096  # of an input whose inside is shown: all of them are computed
MOST_STEPS = 256  # in an answer
MOST_UNITS = 256  # of a layer in an answer
_DIGITS = 3  # of a value


def inside_answer(model: Any, example: Any, last_steps: int = 64, units: int = 64) -> dict[str, Any]:
    """The answer to `POST /v1/models/{model}/inside`.

    Args:
        model: a runtime model.
        example: one input of the model.
        last_steps: how many steps, the last ones, 1 to 256.
        units: how many units of each layer, the first ones, 1 to 256.

    Returns:
        `items`, the last S of them, `count` of all, `layers` with `units` and `gates` `[S, U]` and `gate_means` `[S]`,
        which are over all units, and for a language model `probabilities` of the items `[S]`, null for the first.

    Raises:
        SettingsError: an argument is out of range, or the input is too long or not one of the model.
    """
    _check_range("last_steps", last_steps, MOST_STEPS)
    _check_range("units", units, MOST_UNITS)
    if len(example) > MOST_ITEMS:
        raise SettingsError(f"input: expected at most {MOST_ITEMS:,} items to look inside, got {len(example):,}")
    found = trace(model, example, last_steps)
    answer = {"items": found.items, "count": found.total, "layers": [_layer(layer, units) for layer in found.layers]}
    return answer if found.probabilities is None else {**answer, "probabilities": found.probabilities}


def _layer(layer: LayerTrace, units: int) -> dict[str, Any]:
    return {
        "name": layer.name,
        "signature": layer.signature,
        "size": layer.units.shape[1],
        "units": _rounded(layer.units[:, :units]),
        "gates": {name: _rounded(values[:, :units]) for name, values in layer.gates.items()},
        "gate_means": {name: _rounded(values.mean(axis=1)) for name, values in layer.gates.items()},
    }


def _rounded(values: Array) -> Any:
    return np.round(values.astype(np.float64), _DIGITS).tolist()


def _check_range(name: str, value: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise SettingsError(f"{name}: expected a whole number from 1 to {most}, got {value!r}")
