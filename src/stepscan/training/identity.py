"""What must be the same for a training to be resumed, and on all of its processes: data and settings; and, for the last
bits, the environment."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
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

if TYPE_CHECKING:
    from stepscan.training.loop import Task

logger = logging.getLogger(__name__)
VALIDATION_DATA = "validation data"  # checkpoints of earlier versions do not record them


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


def data_identity(task: Task) -> dict[str, str]:
    """What must be equal of the data of a training."""
    return {
        "data": task.fingerprint or digest(task.batches(0)),
        VALIDATION_DATA: "none" if task.held_out is None else held_out_digest(task.held_out),
    }


def held_out_digest(examples: Any) -> str:
    """The first 16 digits of the SHA-256 of plain data: texts, numbers, arrays, and lists of them, in their order."""
    digest = hashlib.sha256()
    for part in _parts(examples):
        digest.update(part)
    return digest.hexdigest()[:16]


@functools.singledispatch
def _parts(value: Any) -> Iterator[bytes]:
    """A value as bytes that no other value has."""
    yield f"{type(value).__name__} {value!r}\n".encode()


@_parts.register
def _(value: str) -> Iterator[bytes]:
    content = value.encode("utf-8", "surrogatepass")
    yield f"text {len(content)}\n".encode()
    yield content


@_parts.register
def _(value: np.ndarray) -> Iterator[bytes]:
    yield f"{value.dtype}{value.shape}\n".encode()
    yield value.tobytes()


@_parts.register(list)
@_parts.register(tuple)
def _(value: Sequence[Any]) -> Iterator[bytes]:
    yield f"list {len(value)}\n".encode()
    for item in value:
        yield from _parts(item)


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
