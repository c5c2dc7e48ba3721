"""Going on where training was interrupted: what is kept, when, and what Ctrl-C does."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import stepscan
from stepscan.data.batching import TrainingBatch
from stepscan.errors import Interrupted, SettingsError, StepscanError
from stepscan.kernels import native
from stepscan.machine import processor
from stepscan.runtime.lock import TRAINING, beside, is_held, locked
from stepscan.sequences import Sequences
from stepscan.state import leaves, map_state
from stepscan.training.checkpoints import Checkpoint, Checkpoints
from stepscan.training.settings import TrainingSettings

if TYPE_CHECKING:
    from stepscan.training.loop import Trainer

logger = logging.getLogger(__name__)
_MAY_CHANGE = (
    *("epochs", "max_updates", "time_budget", "patience", "learning_rate", "weight_decay", "clip_norm", "clip_value"),
    *("warmup", "decay", "verbose"),
)


class Keeper:
    """Writes the checkpoints of a training and reads the newest; without a folder for them it does nothing.

    Within `with`, Ctrl-C and SIGTERM let the update under way end, write a checkpoint and raise `Interrupted`; a second
    one ends at once.

    Args:
        settings: `checkpoints`, `checkpoint_every` and `resume` of them.
        identity: what must be the same for a training to go on.
        begins: whether there may be checkpoints, of an interrupted training; else they are of an earlier stage.
        is_short: whether it begins anew where an interrupted training goes on; then the checkpoints are only checked.
    """

    def __init__(
        self, settings: TrainingSettings, identity: dict[str, Any], *, begins: bool = True, is_short: bool = False
    ) -> None:
        if settings.resume and settings.checkpoints is None:
            raise SettingsError("resume=True needs checkpoints=FOLDER, the folder that holds what is to go on")
        self.checkpoints = None if settings.checkpoints is None else Checkpoints(settings.checkpoints)
        self.settings, self.identity, self.begins, self.is_short = settings, identity, begins, is_short
        self.written: int | None = None  # the step of the newest checkpoint
        self.signal = 0
        self._last = time.perf_counter()
        self._before: dict[int, Any] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Keeper:
        if self.checkpoints is not None:
            self._lock(self.checkpoints)
        if self.checkpoints is not None and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._stack.close()
        if self.signal and isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"interrupted at once; {self.advice}", self.signal) from None

    def _lock(self, checkpoints: Checkpoints) -> None:
        """Be the only one that writes them; who holds the model folder that they lie in already is."""
        if is_held(beside(checkpoints.folder.resolve().parent)):
            return
        try:
            if not checkpoints.folder.is_dir():
                checkpoints.folder.mkdir(parents=True)
                self._stack.callback(checkpoints.remove_empty)
            self._stack.enter_context(locked(checkpoints.lock.resolve(), checkpoints.folder, TRAINING))
        except OSError as error:
            raise StepscanError(f"{checkpoints.folder} cannot be written: {error.strerror or error}") from None

    def restore(self, trainer: Trainer) -> None:
        """Put the trainer where the newest whole checkpoint left it.

        Raises:
            StepscanError: the checkpoints are of another training, or are there and `resume` was not asked for.
        """
        if self.checkpoints is None:
            return
        self.identity = {**self.identity, "data": _digest(trainer.task.batches(0))}
        if not self.begins:
            return
        if not self.settings.resume:
            if self.checkpoints:
                raise StepscanError(
                    f"{self.checkpoints.folder} holds a training that was interrupted: go on with it (--resume), "
                    "or start anew (--overwrite, or remove it)"
                )
            return
        checkpoint, broken = self.checkpoints.newest()
        for text in broken:
            trainer.reporter.note(text)
        if checkpoint is None:
            where = self.checkpoints.folder
            trainer.reporter.note(f"there is no checkpoint in {where} to go on from: training starts at the beginning")
            return
        for name, value in _changes(checkpoint.state["identity"], self.identity):
            trainer.reporter.note(f"going on with {name} {value!r}, as it is now; the result is that of neither alone")
        self._warn(checkpoint.state.get("circumstances", {}))
        if self.is_short:
            return
        release(trainer, checkpoint)
        self.written = trainer.clock.step
        trainer.reporter.note(f"going on after step {trainer.clock.step}")

    def keep(self, trainer: Trainer, *, now: bool = False) -> None:
        """After an update: write a checkpoint if one is due, and stop if that was asked for.

        Raises:
            Interrupted: Ctrl-C or SIGTERM came.
        """
        if self.checkpoints is None:
            return
        if not (now or self.signal or time.perf_counter() - self._last >= self.settings.checkpoint_every):
            return
        trainer.check_weights()
        said = ""
        try:
            before = sum(stage["steps"] for stage in trainer.earlier)
            self.checkpoints.write(before + trainer.clock.step, capture(trainer, self.identity))
            self.written = trainer.clock.step
        except OSError as error:
            said = f"the checkpoint of step {trainer.clock.step} could not be written: {error.strerror or error}; "
            trainer.reporter.note(f"{said}training goes on" if not self.signal else said)
        self._last = time.perf_counter()
        if self.signal:
            raise Interrupted(f"interrupted at step {trainer.clock.step}; {said}{self.advice}", self.signal)

    @property
    def advice(self) -> str:
        """What is kept, and how to go on with it."""
        if self.checkpoints is None or self.written is None:
            return "nothing was saved"
        return f"all up to step {self.written} is kept: go on with the same command and --resume"

    def _warn(self, then: dict[str, Any]) -> None:
        """Say what differs, of what the last bits of a result depend on."""
        now = circumstances()
        changed = [
            f"{name} {now[name]} (before: {then[name]})" for name in now if then.get(name, now[name]) != now[name]
        ]
        if changed:
            logger.warning(
                "resuming with %s: the weights will differ from those of an uninterrupted training in their last bits",
                ", ".join(changed),
            )

    def _hear(self, number: int, frame: object) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        os.write(2, b"\nstopping after this step; once more to stop at once\n")  # print is not for signal handlers


def circumstances() -> dict[str, Any]:
    """What the last bits of a result depend on, but for the settings and the data."""
    return {
        "threads": torch.get_num_threads(),
        "instruction set": native.library.instruction_set() if native.library else "PyTorch's",
        "torch": torch.__version__,
        "stepscan": stepscan.__version__,
        "processor": processor(),
    }


def capture(trainer: Trainer, identity: dict[str, Any]) -> Checkpoint:
    """All of a trainer that is not in its settings and data."""
    tensors = {f"model.{name}": value for name, value in trainer.task.model.state_dict().items()}
    tensors |= {f"average.{i}": value for i, value in enumerate(trainer.average.values)}
    tensors |= _of_optimiser("optimiser", trainer.optimiser.state_dict())
    best: dict[str, Any] = {}
    if trainer.best is not None:
        tensors |= {f"best.{name}": value for name, value in trainer.best.weights.items()}
        tensors |= {f"best_model.{name}": value for name, value in trainer.best.model.items()}
        tensors |= _of_optimiser("best_optimiser", trainer.best.optimiser)
        best = {"score": trainer.best.score, "plan": trainer.best.plan, "behind": trainer.best.behind}
    carried = [] if trainer.carried is None else list(leaves(trainer.carried))
    tensors |= {f"carried.{i}": value for i, value in enumerate(carried)}
    state = {
        "identity": identity,
        "circumstances": circumstances(),
        "earlier": trainer.earlier,
        "epoch": trainer.epoch,
        "batch": trainer.batch,
        "step": trainer.clock.step,
        "seconds": trainer.clock.seconds,
        "schedule": trainer.schedule.captured(),
        "judged_at": trainer.judged_at,
        "is_stale": trainer.is_stale,
        "meter": {"seconds": trainer.meter.seconds, "sums": trainer.meter.sums},
        "learning_rate": trainer.optimiser.param_groups[0]["lr"],
        "average_updates": trainer.average.updates,
        "history": trainer.history,
        "watched": trainer.watcher.seen,
        "best": best,
        "evaluations_since_best": trainer.evaluations_since_best,
    }
    return Checkpoint({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, state)


def release(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """The inverse of `capture`: the trainer, made from the same settings and data, is as it was then."""
    from stepscan.training.loop import Kept

    state, device = checkpoint.state, trainer.settings.device
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in checkpoint.tensors.items():
        kind, rest = name.split(".", 1)
        parts.setdefault(kind, {})[rest] = value.to(device)
    trainer.task.model.load_state_dict(parts["model"])
    for i, value in parts.get("average", {}).items():
        trainer.average.values[int(i)].copy_(value)
    for group in trainer.optimiser.param_groups:
        group["lr"] = state["learning_rate"]
    groups = trainer.optimiser.state_dict()["param_groups"]
    if state["best"]:
        optimiser = {"state": _by_parameter(parts.get("best_optimiser", {})), "param_groups": groups}
        trainer.best = Kept(weights=parts["best"], model=parts["best_model"], optimiser=optimiser, **state["best"])
    trainer.optimiser.load_state_dict({"state": _by_parameter(parts.get("optimiser", {})), "param_groups": groups})
    if "carried" in parts:
        values = iter([parts["carried"][str(i)] for i in range(len(parts["carried"]))])
        model: Any = trainer.task.model
        like = model.initial_state(len(parts["carried"]["0"]))
        trainer.carried = map_state(lambda leaf: next(values), like)
    trainer.epoch, trainer.batch = state["epoch"], state["batch"]
    trainer.clock.step, trainer.clock.seconds = state["step"], state["seconds"]
    trainer.schedule.release(state["schedule"])
    trainer.judged_at, trainer.is_stale = state["judged_at"], state["is_stale"]
    trainer.meter.seconds, trainer.meter.sums = state["meter"]["seconds"], state["meter"]["sums"]
    trainer.average.updates, trainer.history = state["average_updates"], state["history"]
    trainer.watcher.seen = state.get("watched", {})
    trainer.evaluations_since_best = state["evaluations_since_best"]


def _of_optimiser(name: str, state: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of an optimiser's `state_dict`, named."""
    of_parameters = state["state"].items()
    return {f"{name}.{i}.{key}": value for i, values in of_parameters for key, value in values.items()}


def _by_parameter(tensors: dict[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """The inverse of `_of_optimiser`, without the name."""
    found: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        i, key = name.split(".", 1)
        found.setdefault(int(i), {})[key] = value
    return found


def _changes(then: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings that changed and may.

    Raises:
        StepscanError: something changed that may not.
    """
    for name in sorted({*then, *now}):
        if then.get(name) == now.get(name):
            continue
        if name not in _MAY_CHANGE:
            old, new = (_short(values.get(name)) for values in (then, now))
            raise StepscanError(
                f"--resume goes on with the same data and settings, but {name} was {old} and is now {new}; "
                "give it as before, or start anew (--overwrite)"
            )
        if name != "verbose":
            yield name, now.get(name)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "…"


def _digest(batches: Any) -> str:
    """SHA-256 of all that is trained on, in the order of the first epoch."""
    found = hashlib.sha256()
    for batch in batches:
        for tensor in _tensors(batch):
            found.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


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
