"""The processes of a command that trains: started here, or by `torchrun`."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stepscan.data.lines import check_files
from stepscan.errors import STANDARD, SettingsError
from stepscan.processes.launcher import launch, watch_launcher
from stepscan.processes.world import read_world


class _NoOutput(io.TextIOBase):
    """Where the other processes print: process 0 says all there is to say."""

    def write(self, text: str) -> int:
        return len(text)


def in_processes(settings: Mapping[str, Any], files: Sequence[Path], out: Path) -> dict[str, Any]:
    """The settings of this process; of the command that was typed, which starts the processes, this does not return.

    It checks that the files are there before the seconds that importing torch takes; those of several machines are
    checked when they are read, and process 0 says what any of them lacks.

    Args:
        settings: of the training; uses `processes`.
        files: the data.
        out: the model folder.

    Raises:
        SettingsError: the data are standard input, which only one process can read; or `processes` is not the number
            that torchrun has started.
        DataError: a file is missing.
        Ended: the processes were started, and ended.
    """
    world = read_world()
    processes = settings.get("processes", world.size)
    if world.size == 1:
        check_files(files)
    elif processes != world.size:
        raise SettingsError(
            f"processes: expected {world.size}, as many as were started, got {processes}; omit --processes, or start "
            "the command without torchrun"
        )
    if processes > 1 and STANDARD in map(str, files):
        raise SettingsError(f"processes: expected 1 for data from standard input, got {processes}; give a file")
    if processes > 1 and world.size == 1:
        launch(processes, sys.argv[1:], lambda: _advice(out))
    if world.size > 1:
        watch_launcher()
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # warnings of lost connections: we report them
    if not world.is_first:
        sys.stdout = sys.stderr = _NoOutput()
        sys.excepthook = lambda _, error, trace: traceback.print_exception(error, file=sys.__stderr__)  # of a bug
    return {**settings, "processes": processes}


def _advice(out: Path) -> str:
    from stepscan.storage.ownership import CHECKPOINTS, is_step  # imports NumPy and the native library

    steps = (out / CHECKPOINTS).glob("step-*")
    if any(is_step(path) and path.suffix != ".tmp" for path in steps):
        return "the last checkpoint is saved: resume with the same command and --resume"
    return "nothing was saved: run the same command again"
