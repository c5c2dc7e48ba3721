"""aⁿbⁿ: who counts, and how far beyond what it was trained on (Gers & Schmidhuber 2001; Weiss et al. 2018)."""

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
from stepscan.experiments.experiment import Contestant, Experiment, Values, as_input, as_target
from stepscan.experiments.models import transducer

TRAINED, TESTED = 50, 200  # largest n
_HIDDEN, _EMBEDDING, _BATCH = 10, 2, 25


def experiment() -> Experiment:
    """aⁿbⁿ, trained to n = 50 and tested to n = 200."""
    return Experiment(
        name="counter",
        title=f"aⁿbⁿ, trained to n = {TRAINED}, tested to n = {TESTED}",
        metric="largest n to which all are right",
        greater_is_better=True,
        source="Weiss et al. 2018; Gers & Schmidhuber 2001",
        contestants=(
            Contestant("LSTM", functools.partial(_model, LSTM), 0.02, "furthest", _furthest),
            Contestant("GRU", functools.partial(_model, GRU), 0.02, "less far", _less("GRU")),
            Contestant("Elman, tanh", functools.partial(_model, Elman), 0.003, "less far", _less("Elman, tanh")),
        ),
        updates=6000,
        seconds=180,
        batch_size=_BATCH,
        batch=lambda seed, _: counting(np.random.default_rng(seed).integers(1, TRAINED + 1, _BATCH)),
        validate=lambda model: {"minus_nats": -_nats(model, range(1, TRAINED + 1))},
        test=_figures,
        baselines=(("largest n in training", TRAINED), ("largest n tested", TESTED)),
        remarks=(
            "At every step the model says what may come next: a or b, only b, or the end. Weiss et al. train "
            "acceptors, to n = 100. The counting unit is the one of the state (LSTM: of c) that goes most steeply one "
            "way over a¹⁰⁰ and the other over b¹⁰⁰; slopes are mean changes a step."
        ),
    )


def _figures(model: Any) -> dict[str, Any]:
    longer = int(_right(model)[TRAINED:].sum())
    return {
        "counts_to": counts_to(model),
        f"right_of_{TRAINED + 1}_to_{TESTED}": longer,
        **counting_unit(model.layer, model.embedding),
    }


def counts_to(model: Any) -> int:
    """The largest n such that the model is right at every step of aᵏbᵏ for all k of 1 … n; at most 200."""
    return int(np.append(~_right(model), True).argmax())


def _right(model: Any) -> np.ndarray:
    """For each n of 1 … 200, whether the model is right at every step of aⁿbⁿ."""
    examples = counting(range(1, TESTED + 1))
    targets = as_target(examples.targets)
    wrong = (model.decide(model(as_input(examples.inputs))[0]).data != targets.data) & targets.mask
    return ~wrong.any(dim=1).numpy()


def counting_unit(layer: Any, embedding: Any, n: int = 100) -> dict[str, Any]:
    """The unit of the state (LSTM: of c) that goes most steeply one way over aⁿ and the other over bⁿ.

    Returns:
        `unit`, counted from 0, and its mean change a step over either half, `slope_a` and `slope_b`; the unit with the
        greatest smaller one of the two, of opposite signs, or 0 for both if no unit turns round.
    """
    values = _states(layer, embedding, np.repeat([A, B], n))
    up, down = (values[n - 1] - values[0]) / (n - 1), (values[-1] - values[n - 1]) / n
    steepness = np.where(up * down < 0, np.minimum(np.abs(up), np.abs(down)), 0)
    unit = int(steepness.argmax())
    return {"unit": unit, "slope_a": round(float(up[unit]), 4), "slope_b": round(float(down[unit]), 4)}


def _states(layer: Any, embedding: Any, ids: np.ndarray) -> np.ndarray:
    """What the state's last leaf (LSTM: c; else h) is after each symbol, `[T, H]`."""
    state = layer.initial_state(1)
    values = []
    for one in torch.from_numpy(ids):
        _, state = layer.step(embedding.step(one[None]), state)
        values.append(state[-1][0].numpy())
    return np.stack(values)


def _model(cell: Any) -> Any:
    return transducer(cell(_EMBEDDING, _HIDDEN), SYMBOLS, CLASSES)


def _less(name: str) -> Callable[[Values], bool]:
    return lambda values: values[name] < values["LSTM"]


def _furthest(values: Values) -> bool:
    return values["LSTM"] > max(value for name, value in values.items() if name != "LSTM")


def _nats(model: Any, numbers: range) -> float:
    examples = counting(numbers)
    total, count, _ = model.loss(as_input(examples.inputs), as_target(examples.targets))
    return float(total) / count
