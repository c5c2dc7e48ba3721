"""The adding problem: who remembers a number for T steps (Hochreiter & Schmidhuber 1997, §5.4; Le et al. 2015)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from stepscan.cells.elman import Elman
from stepscan.cells.lstm import LSTM
from stepscan.data.synthetic.adding import BASELINE, adding
from stepscan.data.synthetic.generated_examples import GeneratedExamples
from stepscan.experiments.experiment import Contestant, Experiment, Values, as_input
from stepscan.experiments.models import regressor
from stepscan.inspection.gradient_flow import flow

_LSTM, _ELMAN = 32, 64  # numbers in a state: about as many weights
_BATCH = 32
_GROWING = "growing lengths"
_IRNN = f"IRNN, {_GROWING}"


def experiment(steps: int) -> Experiment:
    """The adding problem with sequences of `steps`."""
    return Experiment(
        name=f"adding-{steps}",
        title=f"The adding problem, T = {steps}",
        metric="mean squared error",
        greater_is_better=False,
        source="Hochreiter & Schmidhuber 1997; Le et al. 2015",
        contestants=_contestants(steps),
        updates=50 * steps,
        seconds=300,
        batch_size=_BATCH,
        batch=lambda seed, _: adding(seed, _BATCH, steps),
        validate=lambda model: {"error": _error(model, adding([2], 500, steps))},
        test=lambda model: {"error": _error(model, adding([3], 2000, steps))},
        baselines=(("always 1", BASELINE),),
        remarks=(
            "The horizon is the lag at which the gradient by the state falls to 1 % before any training, of the part "
            f"of the state that keeps it longest; {steps} where it does not fall so far. Le et al. search for learning "
            "rates, and train by gradient descent at the full length; here it is Adam, the same updates for all. With "
            "growing lengths, training sequences have a tenth of the length at first, all of it from 60 % on."
        ),
        before=lambda model: {"horizon_before": _horizon(model.layer, steps)},
        clip_norm=0.3,
        updates_per_evaluation=500,
    )


def _contestants(steps: int) -> tuple[Contestant, ...]:
    elman = Contestant("Elman, tanh", lambda: _model(Elman(2, _ELMAN)), 0.001)
    if steps >= 200:
        elman = elman._replace(expected="near 0.167", holds=_has_not_learned)
    grown = f"Elman, tanh, {_GROWING}"
    return (
        Contestant("LSTM", lambda: _model(LSTM(2, _LSTM)), 0.01, "< 0.01", _learned("LSTM")),
        Contestant(_IRNN, _irnn, 0.0005, "< 0.01", _learned(_IRNN), functools.partial(_grown, steps)),
        elman,
        elman._replace(name=grown, expected="", holds=None, batch=functools.partial(_grown, steps)),
    )


def _grown(steps: int, seed: list[int], done: float) -> GeneratedExamples:
    """Of a tenth of the tested length at first, of all of it from 60 % of training on."""
    return adding(seed, _BATCH, max(2, round(steps * min(1.0, 0.1 + 1.5 * done))))


def _irnn() -> Any:
    """Rectifiers, W_hh = I and small input weights (Le et al. 2015, §3)."""
    return _model(Elman(2, _ELMAN, "relu", initialisation="identity"))


def _learned(name: str) -> Callable[[Values], bool]:
    return lambda values: values[name] < 0.01


def _has_not_learned(values: Values) -> bool:
    return abs(values["Elman, tanh"] - BASELINE) < 0.1 * BASELINE


def _model(layer: Any) -> Any:
    model = regressor(layer)
    model.standardise(torch.tensor(adding([4], 10_000, 2).targets, dtype=torch.float32))
    return model


def _horizon(layer: Any, steps: int) -> float:
    """Steps back until 1 % of the gradient is left, at most all."""
    found = flow(layer, as_input(adding([5], 4, steps).inputs)).horizons
    return min(float(steps), max(one.one_percent for one in found.values()))


def _error(model: Any, examples: GeneratedExamples) -> float:
    """Mean squared error of the sums."""
    found = model(as_input(examples.inputs))[:, 0]
    return float(((found - torch.as_tensor(examples.targets)) ** 2).mean())
