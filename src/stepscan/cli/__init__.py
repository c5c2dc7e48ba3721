"""The command line: parsing only; each command calls one public function."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import signal
import sys
import threading
import warnings

from stepscan.cli import inspecting, measuring, reproducing, shipping, training, use  # noqa: F401  # each command enters itself
from stepscan.cli.options import app
from stepscan.cli.printing import Notes, say
from stepscan.errors import Interrupted, StepscanError
from stepscan.memory import enough_memory
from stepscan.terminal import printable

__all__ = ["app", "main"]

_OF_TRAINING = {"torch", "sklearn", "pydantic", "sacrebleu"}  # what the extra `train` installs


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 an error in words, 2 wrong usage, 130 interrupted."""
    _open_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What is not UTF-8 is found, and said, where the texts are checked; in names of files it becomes an escape.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    warnings.showwarning = lambda message, *_, **__: say("[bold yellow]warning:[/bold yellow]", message)
    log = logging.getLogger("stepscan")
    log.handlers = [Notes()]
    log.setLevel(logging.INFO)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(number, _end)
    try:
        try:
            with enough_memory("this", "use shorter texts, smaller settings, or a machine with more memory"):
                app()
        finally:
            sys.stdout.flush()
    except Interrupted as interrupted:
        print(printable(str(interrupted)), file=sys.stderr)
        sys.exit(128 + interrupted.signal)
    except StepscanError as error:
        say("[bold red]error:[/bold red]", error)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _OF_TRAINING:
            raise
        say("[bold red]error:[/bold red]", f"this needs {error.name}: pip install 'stepscan[train]'")
        sys.exit(1)
    except OSError as error:  # a full disk or a closed pipe under standard output
        say("[bold red]error:[/bold red]", f"cannot write: {error.strerror or error}")
        _give_up_output()
        sys.exit(1)
    except SystemExit as end:
        if end.code in (130, *(128 + number for number in (signal.SIGTERM, signal.SIGHUP))):  # 130: typer's
            print("interrupted; nothing was written", file=sys.stderr)
        raise


class _Closed(io.TextIOBase):
    """In place of a standard output that was closed: what is written is an error, not lost."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "standard output is closed")


def _open_closed() -> None:
    """Put something in the place of standard streams that were closed, so that no file comes to be one of them."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = io.StringIO()  # nobody hears it; the exit code says it all


def _give_up_output() -> None:
    """Have what standard output still holds go nowhere: at the end it would fail once more, with a traceback."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _end(number: int, frame: object) -> None:
    """End as after an error, so that what is half written is removed."""
    sys.exit(128 + number)
