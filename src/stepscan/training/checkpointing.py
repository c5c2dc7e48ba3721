"""Checkpoints of a training: what they hold, when they are written, how training is resumed, and what Ctrl-C does."""

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
from stepscan.hardware import processor
from stepscan.kernels import native
from stepscan.options import TrainingOptions, settings_of
from stepscan.runtime.lock import TRAINING, is_held, lock_file, locked
from stepscan.sequences import Sequences
from stepscan.training.checkpoints import Checkpoint, Checkpoints

if TYPE_CHECKING:
    from stepscan.training.loop import Trainer

logger = logging.getLogger(__name__)


class Checkpointer:
    """Writes the checkpoints of a training and reads the newest; without a folder for them it does nothing.

    Within `with`, Ctrl-C and SIGTERM let the current update finish, write a checkpoint and raise `Interrupted`; a
    second signal ends at once.

    Args:
        settings: `checkpoints`, `checkpoint_every` and `resume` of them.
        identity: what must be equal for a training to be resumed.
        begins: whether there may be checkpoints, of an interrupted training; else they are of an earlier stage.
        is_short: whether an interrupted training starts again; then the checkpoints are only checked.
    """

    def __init__(
        self, settings: TrainingOptions, identity: dict[str, Any], *, begins: bool = True, is_short: bool = False
    ) -> None:
        if settings.resume and settings.checkpoints is None:
            raise SettingsError("resume=True needs checkpoints=FOLDER, the folder of the checkpoints to resume from")
        self.checkpoints = None if settings.checkpoints is None else Checkpoints(settings.checkpoints)
        self.settings, self.identity, self.begins, self.is_short = settings, identity, begins, is_short
        self.written: int | None = None  # the step of the newest checkpoint
        self.signal = 0
        self._last = time.perf_counter()
        self._before: dict[int, Any] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Checkpointer:
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
        if is_held(lock_file(checkpoints.folder.resolve().parent)):
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
                    f"{self.checkpoints.folder} holds an interrupted training: resume it (--resume), or start again "
                    "(--overwrite, or remove the folder)"
                )
            return
        checkpoint, broken = self.checkpoints.newest()
        for text in broken:
            trainer.reporter.note(text)
        if checkpoint is None:
            where = self.checkpoints.folder
            trainer.reporter.note(f"there is no valid checkpoint in {where} to resume from: training starts again")
            return
        state = as_state(checkpoint, trainer.settings.device)
        if "trainer" not in state:
            raise StepscanError(
                f"{self.checkpoints.folder} holds checkpoints of another version of Stepscan; start again (--overwrite)"
            )
        for name, value in _changes(state["identity"], self.identity):
            trainer.reporter.note(
                f"resuming with a different {name}, {value!r}; the result will match neither setting exactly"
            )
        self._warn(state["circumstances"])
        if self.is_short:
            return
        trainer.load_state_dict(state["trainer"])
        self.written = trainer.clock.step
        trainer.reporter.note(f"resuming after step {trainer.clock.step}")

    def maybe_save(self, trainer: Trainer, *, now: bool = False) -> None:
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
            about = {"identity": self.identity, "circumstances": circumstances(), "earlier": trainer.earlier}
            state = as_checkpoint({**about, "trainer": trainer.state_dict()})
            self.checkpoints.write(before + trainer.clock.step, state)
            self.written = trainer.clock.step
        except OSError as error:
            said = f"the checkpoint of step {trainer.clock.step} could not be written: {error.strerror or error}; "
            trainer.reporter.note(f"{said}training continues" if not self.signal else said)
        self._last = time.perf_counter()
        if self.signal:
            raise Interrupted(f"interrupted at step {trainer.clock.step}; {said}{self.advice}", self.signal)

    @property
    def advice(self) -> str:
        """What is saved, and how to resume from it."""
        if self.checkpoints is None or self.written is None:
            return "nothing was saved"
        return f"all up to step {self.written} is saved: resume with the same command and --resume"

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


def as_checkpoint(state: dict[str, Any]) -> Checkpoint:
    """A nested dictionary of tensors and plain values, as it is written: tensors by their dotted path, copied to the
    CPU, next to the rest."""
    tensors: dict[str, Tensor] = {}

    def rest(value: Any, path: str) -> Any:
        if isinstance(value, Tensor):
            tensors[path] = value.detach().cpu().contiguous().clone()
            return None
        if isinstance(value, dict):
            return {name: rest(one, f"{path}.{name}" if path else str(name)) for name, one in value.items()}
        return value

    return Checkpoint(tensors, rest(state, ""))


def as_state(checkpoint: Checkpoint, device: str) -> dict[str, Any]:
    """The inverse of `as_checkpoint`, with the tensors on a device."""

    def whole(value: Any, path: str) -> Any:
        if path in checkpoint.tensors:
            return checkpoint.tensors[path].to(device)
        if isinstance(value, dict):
            return {name: whole(one, f"{path}.{name}" if path else name) for name, one in value.items()}
        return value

    state: dict[str, Any] = whole(checkpoint.state, "")
    return state


def _changes(then: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings that changed and may.

    Raises:
        StepscanError: something changed that may not.
    """
    options = settings_of(TrainingOptions)
    for name in sorted({*then, *now}):
        if then.get(name) == now.get(name):
            continue
        if name not in options or not options[name].option.resumable:
            old, new = (_short(values.get(name)) for values in (then, now))
            raise StepscanError(
                f"--resume needs the same data and settings, but {name} was {old} and is now {new}; "
                "give it as before, or start again (--overwrite)"
            )
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
