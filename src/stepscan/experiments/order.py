"""Temporal order: the order of two symbols tens of steps ago (Hochreiter & Schmidhuber 1997, §5.6)."""

from __future__ import annotations

from typing import Any

import torch

from stepscan.cells.elman import Elman
from stepscan.cells.lstm import LSTM
from stepscan.data.synthetic.generated_examples import GeneratedExamples
from stepscan.data.synthetic.order import CLASSES, LONGEST, SYMBOLS, order
from stepscan.experiments.experiment import Experiment, ModelSetup, as_input
from stepscan.experiments.models import classifier

_HIDDEN, _EMBEDDING = 32, 8


def experiment() -> Experiment:
    """Temporal order of two symbols."""
    chrono = "LSTM, chrono initialisation"
    return Experiment(
        name="order-2",
        title="Temporal order, two symbols",
        metric="accuracy, %",
        greater_is_better=True,
        source="Hochreiter & Schmidhuber 1997",
        models=(
            ModelSetup(chrono, _chrono, 0.01, "≥ 99", lambda values: values[chrono] >= 99),
            ModelSetup("LSTM", lambda: _model(LSTM(_EMBEDDING, _HIDDEN)), 0.01),
            ModelSetup("Elman, tanh", lambda: _model(Elman(_EMBEDDING, _HIDDEN)), 0.001),
        ),
        updates=1500,
        seconds=90,
        batch_size=32,
        draw=lambda seed, _: order(seed, 32),
        validate=lambda model: _scores(model, order([2], 500)),
        test=lambda model: {"accuracy": _scores(model, order([3], 2560))["accuracy"]},
        baselines=(("chance", 100 / len(CLASSES)),),
        remarks=(
            "The paper trains on single sequences until the error is low; "
            "here it is a fixed number of minibatch updates with Adam."
        ),
    )


def _chrono() -> Any:
    return _model(LSTM(_EMBEDDING, _HIDDEN, initialisation="chrono", t_max=LONGEST))


def _model(layer: Any) -> Any:
    return classifier(layer, len(SYMBOLS), len(CLASSES))


def _scores(model: Any, examples: GeneratedExamples) -> dict[str, float]:
    targets = torch.as_tensor(examples.targets)
    scores = model(as_input(examples.inputs))
    loss = torch.nn.functional.cross_entropy(scores, targets)
    accuracy = 100 * float((scores.argmax(dim=1) == targets).float().mean())
    return {"accuracy": accuracy, "nats": float(loss)}
