"""Copy memory: reproduce ten symbols after a long delay (Arjovsky et al. 2016)."""

from __future__ import annotations

from typing import Any

from stepscan.cells.lstm import LSTM
from stepscan.data.synthetic.copying import LENGTH, SYMBOLS, copying, memoryless
from stepscan.data.synthetic.generated_examples import GeneratedExamples
from stepscan.experiments.experiment import Experiment, ModelSetup, as_input, as_target
from stepscan.experiments.models import transducer

_HIDDEN, _EMBEDDING, _BATCH = 64, 10, 20


def experiment(delay: int) -> Experiment:
    """Copy memory with a delay of this many steps."""
    steps = delay + 2 * LENGTH
    baseline = memoryless(delay)
    chrono = "LSTM, chrono initialisation"
    return Experiment(
        name=f"copy-{delay}",
        title=f"Copy memory, T = {delay}",
        metric="nats per step",
        greater_is_better=False,
        source="Arjovsky et al. 2016; Tallec & Ollivier 2018",
        models=(
            ModelSetup(
                chrono,
                lambda: _model(LSTM(_EMBEDDING, _HIDDEN, initialisation="chrono", t_max=steps)),
                0.005,
                f"< {baseline:.4f}",
                lambda values: values[chrono] < baseline,
            ),
            ModelSetup("LSTM", lambda: _model(LSTM(_EMBEDDING, _HIDDEN)), 0.005),
        ),
        updates=15_000,
        seconds=300,
        batch_size=_BATCH,
        draw=lambda seed, _: copying(seed, _BATCH, delay),
        validate=lambda model: _scores(model, copying([2], 200, delay)),
        test=lambda model: _scores(model, copying([3], 1000, delay)),
        updates_per_evaluation=500,
        baselines=(("memoryless: 10 ln 8 / (T + 20)", baseline),),
    )


def _model(layer: Any) -> Any:
    return transducer(layer, SYMBOLS, SYMBOLS)


def _scores(model: Any, examples: GeneratedExamples) -> dict[str, float]:
    """Nats per step, and the accuracy over the ten symbols."""
    inputs, targets = as_input(examples.inputs), as_target(examples.targets)
    total, count, _ = model.loss(inputs, targets)
    correct = model.predict(model(inputs)[0]).data == targets.data
    return {"nats": float(total) / count, "symbols_right": float(correct[:, -LENGTH:].float().mean())}
