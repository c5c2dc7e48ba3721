"""The adding problem: remembering a value for T steps (Hochreiter & Schmidhuber 1997, §5.4; Le et al. 2015)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from stepscan.cells.elman import Elman
from stepscan.cells.lstm import LSTM
from stepscan.data.synthetic.adding import BASELINE, adding
from stepscan.data.synthetic.generated_examples import GeneratedExamples
from stepscan.experiments.experiment import Experiment, ModelSetup, Values, as_input
from stepscan.experiments.models import regressor
from stepscan.inspection.gradient_flow import gradient_flow

_LSTM, _ELMAN = 32, 64  # hidden sizes of about equal parameter counts
_BATCH = 32
_GROWING = "growing lengths"
_IRNN = f"IRNN, {_GROWING}"


def experiment(steps: int) -> Experiment:
    """The adding problem with sequences of this many steps."""
    return Experiment(
        name=f"adding-{steps}",
        title=f"The adding problem, T = {steps}",
        metric="mean squared error",
        greater_is_better=False,
        source="Hochreiter & Schmidhuber 1997; Le et al. 2015",
        models=_models(steps),
        updates=50 * steps,
        seconds=300,
        batch_size=_BATCH,
        draw=lambda seed, _: adding(seed, _BATCH, steps),
        validate=lambda model: {"error": _error(model, adding([2], 500, steps))},
        test=lambda model: {"error": _error(model, adding([3], 2000, steps))},
        baselines=(("always 1", BASELINE),),
        remarks=(
            "The horizon is the lag at which the gradient with respect to the state has fallen to 1 % before training, "
            f"for the leaf of the state that has the longest one; {steps} if it does not fall that far. Le et al. "
            "search for learning rates and use gradient descent at full length; here all models use Adam for the same "
            "number of updates. With growing lengths, training sequences grow from a tenth of the length to all of it "
            "at 60 % of training."
        ),
        before=lambda model: {"horizon_before": _horizon(model.layer, steps)},
        max_grad_norm=0.3,
        updates_per_evaluation=500,
    )


def _models(steps: int) -> tuple[ModelSetup, ...]:
    elman = ModelSetup("Elman, tanh", lambda: _model(Elman(2, _ELMAN)), 0.001)
    if steps >= 200:
        elman = elman._replace(expected="near 0.167", as_expected=_has_not_learned)
    grown = f"Elman, tanh, {_GROWING}"
    return (
        ModelSetup("LSTM", lambda: _model(LSTM(2, _LSTM)), 0.01, "< 0.01", _learned("LSTM")),
        ModelSetup(_IRNN, _irnn, 0.0005, "< 0.01", _learned(_IRNN), functools.partial(_grown, steps)),
        elman,
        elman._replace(name=grown, expected="", as_expected=None, draw=functools.partial(_grown, steps)),
    )


def _grown(steps: int, seed: list[int], done: float) -> GeneratedExamples:
    """Sequences that grow from a tenth of the tested length to all of it at 60 % of training."""
    return adding(seed, _BATCH, max(2, round(steps * min(1.0, 0.1 + 1.5 * done))))


def _irnn() -> Any:
    """ReLU, W_hh = I and small input weights (Le et al. 2015, §3)."""
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
    """The lag at which 1 % of the gradient is left, at most the number of steps."""
    horizons = gradient_flow(layer, as_input(adding([5], 4, steps).inputs)).memory_horizons
    return min(float(steps), max(horizon.one_percent for horizon in horizons.values()))


def _error(model: Any, examples: GeneratedExamples) -> float:
    """Mean squared error of the sums."""
    outputs = model(as_input(examples.inputs))[:, 0]
    return float(((outputs - torch.as_tensor(examples.targets)) ** 2).mean())
