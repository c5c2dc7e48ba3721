"""aⁿbⁿ: counting, and generalisation to longer sequences (Gers & Schmidhuber 2001; Weiss et al. 2018)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from stepscan.cells.elman import Elman
from stepscan.cells.gru import GRU
from stepscan.cells.lstm import LSTM
from stepscan.data.synthetic.counting import CLASSES, SYMBOLS, A, B, counting
from stepscan.experiments.experiment import Experiment, ModelSetup, Values, as_input, as_target
from stepscan.experiments.models import transducer

TRAINED, TESTED = 50, 200  # largest n
_HIDDEN, _EMBEDDING, _BATCH = 10, 2, 25
_ELMAN = "Elman, tanh"


def experiment() -> Experiment:
    """aⁿbⁿ, trained to n = 50 and tested to n = 200."""
    return Experiment(
        name="counter",
        title=f"aⁿbⁿ, trained to n = {TRAINED}, tested to n = {TESTED}",
        metric="largest n up to which all are correct",
        greater_is_better=True,
        source="Weiss et al. 2018; Gers & Schmidhuber 2001",
        models=(
            ModelSetup("LSTM", functools.partial(_model, LSTM), 0.02, "largest", _largest),
            ModelSetup("GRU", functools.partial(_model, GRU), 0.02, "below the LSTM", _below_lstm("GRU")),
            ModelSetup(_ELMAN, functools.partial(_model, Elman), 0.003, "below the LSTM", _below_lstm(_ELMAN)),
        ),
        updates=6000,
        seconds=180,
        batch_size=_BATCH,
        draw=lambda seed, _: counting(np.random.default_rng(seed).integers(1, TRAINED + 1, _BATCH)),
        validate=lambda model: {"minus_nats": -_nats(model, range(1, TRAINED + 1))},
        test=_figures,
        baselines=(("largest n in training", TRAINED), ("largest n tested", TESTED)),
        remarks=(
            "At every step the model predicts what may come next: a or b, only b, or the end. Weiss et al. train "
            "acceptors, up to n = 100. The counting unit is the unit of the state (LSTM: of c) with the steepest "
            "opposite slopes over a¹⁰⁰ and b¹⁰⁰; a slope is the mean change per step."
        ),
    )


def _figures(model: Any) -> dict[str, Any]:
    longer = int(_correct(model)[TRAINED:].sum())
    return {
        "counts_to": counts_to(model),
        f"right_of_{TRAINED + 1}_to_{TESTED}": longer,
        **counting_unit(model.layer, model.embedding),
    }


def counts_to(model: Any) -> int:
    """The largest n such that the model is correct at every step of aᵏbᵏ for all k of 1 … n; at most 200."""
    return int(np.append(~_correct(model), True).argmax())


def _correct(model: Any) -> np.ndarray:
    """For each n of 1 … 200, whether the model is correct at every step of aⁿbⁿ `[200]`."""
    examples = counting(range(1, TESTED + 1))
    targets = as_target(examples.targets)
    wrong = (model.predict(model(as_input(examples.inputs))[0]).data != targets.data) & targets.mask
    return ~wrong.any(dim=1).numpy()


def counting_unit(layer: Any, embedding: Any, n: int = 100) -> dict[str, Any]:
    """The unit of the state (LSTM: of c) with the steepest opposite slopes over aⁿ and bⁿ.

    Returns:
        `unit`, counted from 0, and its mean changes per step over either half, `slope_a` and `slope_b`. Of the units
        whose slopes have opposite signs, it is the one whose smaller absolute slope is largest; unit 0 if there is
        none.
    """
    values = _states(layer, embedding, np.repeat([A, B], n))
    up, down = (values[n - 1] - values[0]) / (n - 1), (values[-1] - values[n - 1]) / n
    steepness = np.where(up * down < 0, np.minimum(np.abs(up), np.abs(down)), 0)
    unit = int(steepness.argmax())
    return {"unit": unit, "slope_a": round(float(up[unit]), 4), "slope_b": round(float(down[unit]), 4)}


def _states(layer: Any, embedding: Any, ids: np.ndarray) -> np.ndarray:
    """The state's last leaf (LSTM: c; else h) after each symbol, `[T, H]`."""
    state = layer.initial_state(1)
    values = []
    for symbol in torch.from_numpy(ids):
        _, state = layer.step(embedding.step(symbol[None]), state)
        values.append(state[-1][0].numpy())
    return np.stack(values)


def _model(cell: Any) -> Any:
    return transducer(cell(_EMBEDDING, _HIDDEN), SYMBOLS, CLASSES)


def _below_lstm(name: str) -> Callable[[Values], bool]:
    return lambda values: values[name] < values["LSTM"]


def _largest(values: Values) -> bool:
    return values["LSTM"] > max(value for name, value in values.items() if name != "LSTM")


def _nats(model: Any, numbers: range) -> float:
    examples = counting(numbers)
    total, count, _ = model.loss(as_input(examples.inputs), as_target(examples.targets))
    return float(total) / count
