"""Runs trainings in several processes, for tests: see `forks.py`."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file

SIZES = ["--hidden-size", "6", "--embedding-size", "6", "--quiet"]


class Answer(NamedTuple):
    """What a training left behind."""

    codes: list[int]  # exit codes of its processes
    said: list[str]  # standard error of each


class Trainings:
    """Runs `stepscan train` in one or several processes."""

    def __init__(self, worker: subprocess.Popen, place: Path) -> None:
        self.worker, self.place = worker, place

    def run(self, out: Path, *arguments: str, processes: int = 1, signals=(), restarts: int = 0) -> Answer:
        """Run with the same arguments in all processes."""
        return self.run_commands(out, [[*arguments] for _ in range(processes)], signals, restarts)

    def run_commands(self, out: Path, commands: list[list[str]], signals=(), restarts: int = 0) -> Answer:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        commands = [["train", *command, "--out", str(out)] for command in commands]
        job = {"commands": commands, "out": str(out), "place": str(self.place), "port": port}
        self.worker.stdin.write(json.dumps({**job, "signals": list(signals), "restarts": restarts}) + "\n")
        self.worker.stdin.flush()
        answer = json.loads(self.worker.stdout.readline())
        return Answer(answer["codes"], answer["said"])

    def weights(self, out: Path, *arguments: str, processes: int = 1) -> dict[str, np.ndarray]:
        """The weights of a training that must succeed."""
        answer = self.run(out, *arguments, processes=processes)
        assert answer.codes == [0] * processes, answer.said
        return load_file(out / "model.safetensors")


def rows_of(out: Path) -> list[dict]:
    """The training curve without what depends on the time."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds" and "per_second" not in k} for row in rows]
