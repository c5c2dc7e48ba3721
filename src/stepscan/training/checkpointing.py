"""Checkpointing: when checkpoints are written, how training is resumed, and how Ctrl-C is handled."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from stepscan.errors import Interrupted, SettingsError, StepscanError
from stepscan.options import TrainingOptions
from stepscan.processes.team import Team
from stepscan.storage.lock import TRAINING, is_held, lock_file, locked
from stepscan.training.checkpoints import Checkpoint, Checkpoints, as_checkpoint, as_state
from stepscan.training.identity import (
    VALIDATION_DATA,
    changes,
    check_same_everywhere,
    data_identity,
    environment,
    warn_of_environment,
)
from stepscan.training.sharing import Requests, receive

if TYPE_CHECKING:
    from stepscan.training.loop import Trainer

logger = logging.getLogger(__name__)


class Checkpointer:
    """Writes the checkpoints of a training and restores the newest; without a folder for them it does nothing.

    Within `with`, Ctrl-C and SIGTERM let the current update finish, write a checkpoint and raise `Interrupted`; a
    second signal stops at once.

    Where several processes train, the first writes and reads, and all stop and save after the same update.

    Args:
        settings: uses `checkpoints`, `checkpoint_every` and `resume`.
        team: of the training.
        identity: settings and data that must be equal for a training to be resumed.
        is_first: whether the training is the first stage that this process runs; only then may there be checkpoints to
            resume from, later they are of the stage before.
        restarts: whether a resumed training starts from its beginning; then the checkpoints are only checked.

    Raises:
        SettingsError: `resume` without `checkpoints`.
    """

    def __init__(
        self,
        settings: TrainingOptions,
        team: Team,
        identity: dict[str, Any],
        *,
        is_first: bool = True,
        restarts: bool = False,
    ) -> None:
        if settings.resume and settings.checkpoints is None:
            raise SettingsError("resume=True needs checkpoints=FOLDER, the folder of the checkpoints to resume from")
        self.checkpoints = None if settings.checkpoints is None else Checkpoints(settings.checkpoints)
        self.settings, self.team, self.identity = settings, team, identity
        self.is_first, self.restarts = is_first, restarts
        self.written: int | None = None  # the step of the newest checkpoint
        self.signal = 0  # that this process received
        self.requests = Requests()  # of all processes
        self._last_write = time.perf_counter()
        self._previous_handlers: dict[int, Any] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Checkpointer:
        if self.checkpoints is not None and self.team.is_first:
            self._lock(self.checkpoints)
        if self.checkpoints is not None and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._previous_handlers[number] = signal.signal(number, self._handle_signal)
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)
        self._stack.close()
        if self.signal and isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"interrupted at once; {self.advice}", self.signal) from None

    def _lock(self, checkpoints: Checkpoints) -> None:
        """Lock the folder of the checkpoints, unless this process holds the lock of the model folder around it."""
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
        """Restore the trainer from the newest valid checkpoint, if `resume` is set.

        Raises:
            StepscanError: the checkpoints are of another training, or exist without `resume`; or the processes have
                different data or settings.
        """
        if self.checkpoints is None and self.team.size == 1:
            return
        self.identity = {**self.identity, **data_identity(trainer.task)}
        check_same_everywhere(self.team, self.identity)
        if not self.is_first or self.checkpoints is None:
            return
        checkpoint = receive(self.team, self._newest(self.checkpoints, trainer) if self.team.is_first else None)
        if checkpoint is None:
            return
        state = as_state(checkpoint, trainer.settings.device)
        if "trainer" not in state:
            raise StepscanError(
                f"{self.checkpoints.folder} holds checkpoints of another version of Stepscan; start again (--overwrite)"
            )
        saved = state["identity"]
        if VALIDATION_DATA not in saved:
            trainer.reporter.note("the checkpoints do not record their validation data, which must be the same")
            saved = {**saved, VALIDATION_DATA: self.identity[VALIDATION_DATA]}
        for name, value in changes(saved, self.identity):
            trainer.reporter.note(
                f"resuming with a different {name}, {value!r}; the result will match neither setting exactly"
            )
        warn_of_environment(state["circumstances"], environment(self.team))
        if self.restarts:
            return
        trainer.load_state_dict(state["trainer"])
        self.written = trainer.clock.step
        trainer.reporter.note(f"resuming after step {trainer.clock.step}")

    def _newest(self, checkpoints: Checkpoints, trainer: Trainer) -> Checkpoint | None:
        """The checkpoint to resume from, if there is one."""
        if not self.settings.resume:
            if checkpoints:
                raise StepscanError(
                    f"{checkpoints.folder} holds an interrupted training: resume it (--resume), or start again "
                    "(--overwrite, or remove the folder)"
                )
            return None
        checkpoint, broken = checkpoints.newest()
        for text in broken:
            trainer.reporter.note(text)
        if checkpoint is None:
            folder = checkpoints.folder
            trainer.reporter.note(f"there is no valid checkpoint in {folder} to resume from: training starts again")
        return checkpoint

    def own_requests(self) -> Requests:
        """What this process asks of all."""
        return Requests(
            self.signal == signal.SIGINT,
            self.signal not in (0, signal.SIGINT),
            self.team.is_first and time.perf_counter() - self._last_write >= self.settings.checkpoint_every,
        )

    def maybe_save(self, trainer: Trainer, *, now: bool = False) -> None:
        """Called after an update: write a checkpoint if one is due, and stop after a signal.

        Args:
            trainer: the training.
            now: whether to write one in any case.

        Raises:
            Interrupted: Ctrl-C or SIGTERM was received.
        """
        if self.checkpoints is None:
            return
        requests = self.own_requests() if self.team.size == 1 else self.requests
        if not (now or any(requests)):
            return
        trainer.check_weights()
        state, failure = trainer.state_dict(), ""
        try:
            earlier_steps = sum(stage["steps"] for stage in trainer.earlier)
            circumstances = environment(self.team)
            header = {"identity": self.identity, "circumstances": circumstances, "earlier": trainer.earlier}
            checkpoint = as_checkpoint({**header, "trainer": state})
            if self.team.is_first:
                self.checkpoints.write(earlier_steps + trainer.clock.step, checkpoint)
            self.written = trainer.clock.step
        except OSError as error:
            failure = f"the checkpoint of step {trainer.clock.step} could not be written: {error.strerror or error}; "
            trainer.reporter.note(f"{failure}training continues" if not self._stop else failure)
        self._last_write = time.perf_counter()
        if self._stop:
            raise Interrupted(f"interrupted at step {trainer.clock.step}; {failure}{self.advice}", self._stop)

    @property
    def _stop(self) -> int:
        """The signal that ends the training after this update; 0 for none."""
        return self.signal if self.team.size == 1 else self.requests.signal

    @property
    def advice(self) -> str:
        """A message: which steps are saved, and how to resume from them."""
        if self.checkpoints is None or self.written is None:
            return "nothing was saved"
        return f"all up to step {self.written} is saved: resume with the same command and --resume"

    def _handle_signal(self, number: int, frame: object) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        if self.team.is_first:  # signal handlers must not print
            os.write(2, b"\nstopping after this step; once more to stop at once\n")
