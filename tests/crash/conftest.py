from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import stepscan

HERE = Path(__file__).parent


class Trainings:
    """Trainings that may be killed or whose disk may fail, and what they leave.

    With dropout, gradient accumulation, a moving average and a state that is carried from window to window.
    """

    def __init__(self, worker: subprocess.Popen, text: Path) -> None:
        self.worker, self.text = worker, text

    def run(self, out: Path, *more: str, at: int = 0, how: str = "", kill_after: float | None = None, epochs: int = 1):
        job = {
            "arguments": [*self._arguments(epochs), "--out", str(out), *more],
            "environment": {"FAULT_PLACE": str(out.parent), "FAULT_AT": str(at or 10**9), "FAULT_HOW": how},
            "out": str(out),
            "kill_after": kill_after,
        }
        self.worker.stdin.write(json.dumps(job) + "\n")
        self.worker.stdin.flush()
        return json.loads(self.worker.stdout.readline())

    def _arguments(self, epochs: int) -> list[str]:
        sizes = "--hidden-size 6 --embedding-size 6 --bptt 16 --batch-size 4 --gradient-accumulation-steps 2"
        rest = "--ema-decay 0.9 --dropout 0.3 --checkpoint-every 0s --learning-rate 0.01 --quiet"
        return ["train", "generate", "--train", str(self.text), *f"{sizes} {rest} --epochs {epochs}".split()]


def result(out: Path) -> tuple[str, list[dict]]:
    """The hash of the weights, and what of the curve does not depend on the time."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    kept = [{k: v for k, v in row.items() if k != "seconds" and "per_second" not in k} for row in rows]
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest(), kept


@pytest.fixture(scope="session")
def trainings(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler (cc), to make single system calls fail")
    place = tmp_path_factory.mktemp("crash")
    library = place / "fault.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, HERE / "fault.c", "-ldl"], check=True)
    text = place / "text.txt"
    text.write_text("".join(f"{n} times {n} is {n * n}.\n" for n in range(20)))
    source = str(Path(stepscan.__file__).parents[1])
    environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "worker.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=place
    ) as worker:
        yield Trainings(worker, text)
        worker.stdin.close()
