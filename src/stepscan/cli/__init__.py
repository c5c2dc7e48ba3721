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

from stepscan.cli import (  # noqa: F401  # importing registers the commands
    benchmark,
    compression,
    forecasting,
    inspection,
    prediction,
    reproduction,
    serving,
    training,
)
from stepscan.cli.options import app
from stepscan.cli.output import LogHandler, print_message
from stepscan.errors import Interrupted, StepscanError
from stepscan.memory import enough_memory
from stepscan.processes.launcher import LOST, Ended
from stepscan.processes.team import PeerLost
from stepscan.processes.world import is_launched
from stepscan.terminal import printable

__all__ = ["app", "main"]

_EXTRAS = {  # package → what installs it
    **dict.fromkeys(("torch", "sklearn", "pydantic", "sacrebleu"), "train"),
    **dict.fromkeys(("fastapi", "uvicorn", "prometheus_client", "httptools", "websockets"), "serve"),
    **dict.fromkeys(("ray", "pyarrow", "fsspec"), "ray"),
}


def main() -> None:
    """Run the command line. Exit codes: 0 success, 1 an error, 2 wrong usage, 130 interrupted."""
    _replace_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Texts that are not UTF-8 are errors when they are checked; in file names such bytes are escaped.
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    warnings.showwarning = lambda message, *_, **__: print_message("[bold yellow]warning:[/bold yellow]", message)
    log = logging.getLogger("stepscan")
    log.handlers = [LogHandler()]
    log.setLevel(logging.INFO)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(number, _exit_on_signal)
    try:
        try:
            with enough_memory("this", "use shorter texts, smaller settings, or a machine with more memory"):
                app()
        finally:
            sys.stdout.flush()
    except Interrupted as interrupted:
        print(printable(str(interrupted)), file=sys.stderr)
        sys.exit(128 + interrupted.signal)
    except Ended as ended:  # the processes of a training, which have said why
        sys.exit(ended.code)
    except StepscanError as error:
        if isinstance(error, PeerLost) and not error.has_reason and is_launched():
            sys.exit(LOST)  # the launcher knows why
        print_message("[bold red]error:[/bold red]", error)
        sys.exit(1)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        if "serve" in sys.argv[1:2]:  # FastAPI needs pydantic
            extra = "serve"
        print_message("[bold red]error:[/bold red]", f"this needs {error.name}: pip install 'stepscan[{extra}]'")
        sys.exit(1)
    except OSError as error:  # a full disk or a closed pipe under standard output
        print_message("[bold red]error:[/bold red]", f"cannot write: {error.strerror or error}")
        _discard_output()
        sys.exit(1)
    except SystemExit as end:
        if end.code in (130, *(128 + number for number in (signal.SIGTERM, signal.SIGHUP))):  # 130: typer's
            print("interrupted; nothing was written", file=sys.stderr)
        raise


class _ClosedOutput(io.TextIOBase):
    """Replaces a closed standard output: writing is an error, not silently lost."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "standard output is closed")


def _replace_closed_streams() -> None:
    """Open standard streams that were closed, so that no file gets their descriptors."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    if sys.stdout is None:
        sys.stdout = _ClosedOutput()
    if sys.stderr is None:
        sys.stderr = io.StringIO()  # discarded; the exit code remains


def _discard_output() -> None:
    """Discard what standard output has buffered: flushing it at exit would fail again, with a traceback."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_on_signal(signal_number: int, frame: object) -> None:
    """Exit as after an error, so that partial files are removed."""
    sys.exit(128 + signal_number)
