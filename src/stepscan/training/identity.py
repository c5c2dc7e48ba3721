"""What must be the same for a training to be resumed, and on all of its processes: data and settings; and, for the last
bits, the environment."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import stepscan
from stepscan.data.batching import TrainingBatch
from stepscan.errors import StepscanError
from stepscan.hardware import processor
from stepscan.kernels import native
from stepscan.options import TrainingOptions, settings_of
from stepscan.processes.team import Team
from stepscan.sequences import Sequences

logger = logging.getLogger(__name__)


def warn_of_environment(saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Log a warning if the environment differs from that of a checkpoint."""
    changed = [
        f"{name} {value} (before: {saved[name]})" for name, value in now.items() if saved.get(name, value) != value
    ]
    if changed:
        logger.warning(
            "resuming with %s: the weights will differ from those of an uninterrupted training in their last bits",
            ", ".join(changed),
        )


def environment(team: Team) -> dict[str, Any]:
    """Versions and hardware that the last bits of a result depend on."""
    return {
        "processes": team.size,
        "threads": torch.get_num_threads(),
        "instruction set": native.library.instruction_set() if native.library else "PyTorch's",
        "torch": torch.__version__,
        "stepscan": stepscan.__version__,
        "processor": processor(),
    }


def changes(saved: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and new values of the settings that changed and are allowed to.

    Raises:
        StepscanError: another setting, or the data, changed.
    """
    options = settings_of(TrainingOptions)
    for name in sorted({*saved, *now}):
        if saved.get(name) == now.get(name):
            continue
        if name not in options or not options[name].option.resumable:
            old, new = (_short(values.get(name)) for values in (saved, now))
            raise StepscanError(
                f"--resume needs the same data and settings, but {name} was {old} and is now {new}; "
                "give it as before, or start again (--overwrite)"
            )
        yield name, now.get(name)


def check_same_everywhere(team: Team, identity: dict[str, Any]) -> None:
    """Raise a `StepscanError` if another process has different data or settings."""
    mine, *others = team.gather(identity)
    for rank, other in enumerate(others, start=1):
        for name in sorted({*mine, *other}):
            if mine.get(name) != other.get(name):
                raise StepscanError(
                    f"all processes need the same data and settings, but {name} is {_short(mine.get(name))} in process "
                    f"0 and {_short(other.get(name))} in process {rank}; give each machine the same files and the "
                    "same command"
                )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "…"


def digest(batches: Any) -> str:
    """The first 16 digits of the SHA-256 of all training data, in the order of the first epoch."""
    digest = hashlib.sha256()
    for batch in batches:
        for tensor in _tensors(batch):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, TrainingBatch):
        yield from _tensors((value.inputs, value.targets))
    elif isinstance(value, Sequences):
        yield from (value.data, value.lengths)
    elif isinstance(value, tuple):
        for part in value:
            yield from _tensors(part)
    else:
        yield value
