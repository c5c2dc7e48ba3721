"""Servers in processes of their own, and what these take."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

GENERATE = "/v1/models/model/generate"
HERE = Path(__file__).parent


@contextlib.contextmanager
def server(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process of its own, when it answers."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def ours(folder: Path, port: int, *options: object) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Our server."""
    models = [str(folder / "model"), str(folder / "signals")]
    command = [sys.executable, "-m", "stepscan", "serve", *models, "--port", str(port), *map(str, options)]
    return server(command, port)


def peer(folder: Path, port: int, kind: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """A plain server."""
    return server([sys.executable, str(HERE / "serving_peers.py"), str(folder / "model"), str(port), kind], port)


def resident(process: subprocess.Popen[bytes]) -> float:
    """Resident memory of a process, in MB."""
    for line in Path(f"/proc/{process.pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Seconds that a process has computed, which do not depend on who else uses the machine."""
    fields = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
