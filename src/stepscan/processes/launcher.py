"""Starts the processes of `stepscan train --processes N` on this machine, and watches them.

Each runs the same command, with the variables that `torchrun` would set. This process imports no PyTorch: it passes
signals on to process 0, and when a process dies it ends the others, so that none waits for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import stepscan
from stepscan.errors import StepscanError
from stepscan.processes.world import LAUNCHED

LOST = 75  # exit code of a process that lost another and does not know why: the launcher reports it
_PARENT = "STEPSCAN_PARENT"  # the descriptor of a pipe that ends with the launcher
_GRACE = 20.0  # seconds in which the others end by themselves after one has died
_PAUSE = 0.02


class Ended(Exception):
    """The processes ended, and said why.

    Args:
        code: the exit code of the command.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def launch(processes: int, arguments: Sequence[str], advice: Callable[[], str]) -> None:
    """Run a command of `stepscan` in several processes.

    Args:
        processes: how many.
        arguments: of the command line.
        advice: what a user can do when a process was killed.

    Raises:
        Ended: when all have ended, with the exit code of process 0.
        StepscanError: one was killed.
    """
    reading, writing = os.pipe()
    environments = _environments(processes, reading)
    command = [sys.executable, "-P", "-m", "stepscan", *arguments]
    children: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, writing)
        stack.callback(_kill, children)
        stack.enter_context(_passing_signals_on(children))
        for environment in environments:
            child = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[reading], start_new_session=True
            )
            children.append(child)
        os.close(reading)
        died = _wait(children)
    _report(children, died, advice)


def watch_launcher() -> None:
    """In a process that was launched: end it when the launcher is gone, even if that was killed."""
    descriptor = os.environ.pop(_PARENT, "")
    if not descriptor:
        return
    import threading

    def watch() -> None:
        os.read(int(descriptor), 1)  # returns when the pipe ends
        os._exit(LOST)

    threading.Thread(target=watch, daemon=True).start()


def _environments(processes: int, pipe: int) -> list[dict[str, str]]:
    """The environment of each process; threads are divided among them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // processes))
    source = str(Path(stepscan.__file__).parents[1])
    shared = {
        **os.environ,
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "OMP_NUM_THREADS": threads,
        "PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", "")))),
        LAUNCHED: "1",
        _PARENT: str(pipe),
    }
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _passing_signals_on(children: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Ctrl-C and SIGTERM go to process 0, which tells the others at the end of its step."""

    def handle(number: int, frame: object) -> None:
        for child in children[:1]:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)

    previous: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Wait until all have ended; the number of the first that failed, if one did. The others are ended after it."""
    died, deadline = None, float("inf")
    while True:
        failed = [rank for rank, child in enumerate(children) if child.poll()]
        if failed and deadline == float("inf"):
            deadline = time.monotonic() + _GRACE
        if died is None:
            died = next((rank for rank in failed if children[rank].returncode != LOST), None)
        if all(child.returncode is not None for child in children):
            return next(iter(failed), None) if died is None else died
        if time.monotonic() >= deadline:
            _kill(children)
        time.sleep(_PAUSE)


def _kill(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()


def _report(children: Sequence[subprocess.Popen[bytes]], died: int | None, advice: Callable[[], str]) -> None:
    first = children[0].returncode
    if died is None or (first > 0 and first != LOST):  # process 0 said what there was to say
        raise Ended(first)
    code = children[died].returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    raise StepscanError(
        f"process {died} of {len(children)} (pid {children[died].pid}) {how}, and the others were ended; {advice()}"
    )
