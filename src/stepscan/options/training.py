"""Options of training, whatever the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from stepscan.fields import FACTOR, PROBABILITY, Choice, Duration, FilePath, Flag, Integer, Real
from stepscan.options.option import OUTPUT, TRAINING, Option
from stepscan.options.renamed import RENAMED, renamed

COUNT = Integer(1)
SHARE = Real(0, 1)
POSITIVE = Real(0, open_least=True)
MOST_SEED = 2**63 - 1  # that torch takes

# Options whose defaults differ from class to class.
BatchSize = Annotated[int, Option(COUNT, "Sequences per batch (generate: parallel streams of text).", TRAINING)]
LearningRate = Annotated[float, Option(POSITIVE, "Peak learning rate of AdamW.", TRAINING, resumable=True)]
DecayRatio = Annotated[
    float,
    Option(
        SHARE,
        "Share of training, at its end, over which the learning rate falls to 0 by half a cosine, 0 to 1.",
        TRAINING,
        source="Hägele et al. 2024",
        resumable=True,
    ),
]
EMADecay = Annotated[
    float,
    Option(
        PROBABILITY,
        "Decay of the exponential moving average (EMA) of the weights, which is evaluated and kept; 0: none.",
        TRAINING,
    ),
]


@dataclass(kw_only=True, eq=False, repr=False)
class TrainingOptions:
    """How a model is trained, whatever the model."""

    if not TYPE_CHECKING:

        def __new__(cls, *positional: Any, **settings: Any) -> Any:
            for name in RENAMED.keys() & settings.keys():
                raise TypeError(f"{cls.__name__}: {renamed(name)}")
            return super().__new__(cls)

    epochs: Annotated[
        int | None,
        Option(COUNT, "Maximum passes over the training data.", TRAINING, unset="no limit", resumable=True),
    ] = None
    max_updates: Annotated[
        int | None,
        Option(
            COUNT,
            "Maximum weight updates (optimizer steps); training ends earlier once the validation score stops rising.",
            TRAINING,
            unset="by data size",
            resumable=True,
        ),
    ] = None
    time_budget: Annotated[
        float | None,
        Option(
            Duration(POSITIVE),
            "Time to train, in seconds or such as 90s, 10m, 1h30m; all of it is used.",
            TRAINING,
            unset="no limit",
            resumable=True,
        ),
    ] = None
    batch_size: BatchSize = 32
    gradient_accumulation_steps: Annotated[int, Option(COUNT, "Batches per weight update.", TRAINING)] = 1
    learning_rate: LearningRate = 2e-3
    warmup_ratio: Annotated[
        float,
        Option(SHARE, "Share of training over which the learning rate rises, 0 to 1.", TRAINING, resumable=True),
    ] = 0.05
    decay_ratio: DecayRatio = 1.0
    weight_decay: Annotated[
        float,
        Option(FACTOR, "AdamW weight decay, of matrices.", TRAINING, source="Loshchilov & Hutter 2019", resumable=True),
    ] = 0.01
    max_grad_norm: Annotated[
        float,
        Option(
            Real(0, open_least=True, finite=False),
            "Maximum norm of all gradients together; larger ones are scaled down.",
            TRAINING,
            source="Pascanu et al. 2013",
            resumable=True,
        ),
    ] = 1.0
    max_grad_value: Annotated[
        float | None,
        Option(
            Real(0, open_least=True, finite=False),
            "Maximum absolute value of a gradient's elements, clipped before the norm.",
            TRAINING,
            unset="no limit",
            source="Graves 2013, section 2.1",
            resumable=True,
        ),
    ] = None
    ema_decay: EMADecay = 0.0
    patience: Annotated[
        int | None,
        Option(
            COUNT,
            "Evaluations without a better validation score before the learning rate decays from the best weights.",
            TRAINING,
            unset="6, after 400 updates",
            resumable=True,
        ),
    ] = None
    seed: Annotated[
        int,
        Option(
            Integer(0, MOST_SEED),
            "Random seed: same seed, same data, same machine: same weights to the bit (unless there is a time budget).",
            TRAINING,
        ),
    ] = 0
    device: Annotated[str, Option(Choice(("cpu", "cuda")), "Device to train on.", TRAINING, recorded=False)] = "cpu"
    processes: Annotated[
        int,
        Option(
            COUNT,
            "Processes that train together, each on its share of every batch; under torchrun, as many as it starts.",
            TRAINING,
            recorded=False,
        ),
    ] = 1
    precision: Annotated[
        str,
        Option(
            Choice(("float32", "bf16")),
            "Precision of the network's arithmetic in training; bf16 (bfloat16, weights in float32) on a GPU only.",
            TRAINING,
        ),
    ] = "float32"
    monitor_gradients: Annotated[
        bool,
        Option(
            Flag(),
            "Record how far back gradients reach in the training curve, and warn if they vanish or explode.",
            TRAINING,
            recorded=False,
        ),
    ] = False
    tensorboard: Annotated[
        str | Path | None,
        Option(FilePath(), "Folder for TensorBoard event files.", TRAINING, unset="none", recorded=False),
    ] = None
    checkpoint_every: Annotated[
        float,
        Option(
            Duration(Real(0)),
            "Time between checkpoints, in seconds or such as 30s, 5m; there is one after each evaluation, too.",
            OUTPUT,
            recorded=False,
        ),
    ] = 60.0
    checkpoints: Annotated[
        str | Path | None,
        Option(
            FilePath(),
            "Folder for checkpoints, from which an interrupted training can be resumed.",
            None,
            unset="none",
            recorded=False,
        ),
    ] = None
    resume: Annotated[
        bool,
        Option(
            Flag(), "Resume from the newest valid checkpoint, to the same weights to the bit.", None, recorded=False
        ),
    ] = False
    verbose: Annotated[
        bool,
        Option(Flag(), "Report progress on standard error.", None, recorded=False, resumable=True),
    ] = False
