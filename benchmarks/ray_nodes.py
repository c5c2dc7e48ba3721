"""A Ray cluster of a head without processors and any number of nodes with one each, on this machine.

python benchmarks/ray_nodes.py COMMAND …     runs a command with RAY_ADDRESS set, and ends the cluster
python benchmarks/ray_nodes.py stepscan predict model --input 'in/*.parquet' --output out --ray auto

Everything listens on 127.0.0.1 only; what was started, and nothing else, is stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NODES = 2
_PATIENCE = 60.0  # seconds
ENVIRONMENT = {  # of all processes of the cluster, and of those that use it
    **{"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"},
    **{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)},  # of this run alone
}


@contextlib.contextmanager
def ray_nodes(nodes: int = NODES) -> Iterator[str]:
    """The address of a cluster, which ends with the context."""
    port = _free_port()
    address = f"127.0.0.1:{port}"
    ray = str(Path(sys.executable).parent / "ray")
    common = ["--block", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000", "--disable-usage-stats"]
    head = [ray, "start", "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", *common]
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(head))
        _wait_for(port)
        node = [ray, "start", f"--address={address}", "--num-cpus=1", *common]
        started += [_start(node) for _ in range(nodes)]
        yield address
    finally:
        for process in reversed(started):
            _stop(process)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    """A process in a group of its own."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command, env={**os.environ, **ENVIRONMENT}, stdout=quiet, stderr=quiet, start_new_session=True
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for(port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run on the cluster, with its arguments")
    command = parser.parse_args().command
    with ray_nodes() as at:
        environment = {**os.environ, **ENVIRONMENT, "RAY_ADDRESS": at}
        sys.exit(subprocess.run(command, env=environment).returncode)
