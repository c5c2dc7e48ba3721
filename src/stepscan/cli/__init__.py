"""The command line: parsing only; each command calls one public function."""

from __future__ import annotations

import io
import logging
import signal
import sys
import threading
import warnings

from stepscan.cli import inspecting, measuring, reproducing, shipping, training, use  # noqa: F401  # each command enters itself
from stepscan.cli.options import app
from stepscan.cli.printing import Notes, say
from stepscan.errors import Interrupted, StepscanError

__all__ = ["app", "main"]

_OF_TRAINING = {"torch", "sklearn", "pydantic", "sacrebleu"}  # what the extra `train` installs


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 an error in words, 2 wrong usage, 130 interrupted."""
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "backslashreplace")):
        # What is not UTF-8 is found, and said, where the texts are checked; in names of files it becomes an escape.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)
    warnings.showwarning = lambda message, *_, **__: say("[bold yellow]warning:[/bold yellow]", message)
    log = logging.getLogger("stepscan")
    log.handlers, log.level = [Notes()], logging.INFO
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(number, _end)
    try:
        app()
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
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
        sys.exit(1)
    except SystemExit as end:
        if end.code in (130, *(128 + number for number in (signal.SIGTERM, signal.SIGHUP))):  # 130: typer's
            print("interrupted; nothing was written", file=sys.stderr)
        raise


def _end(number: int, frame: object) -> None:
    """End as after an error, so that what is half written is removed."""
    sys.exit(128 + number)
