"""Runs trainings of several processes in forked children, so that PyTorch is imported once for all of them.

Reads one JSON object a line: `commands` (arguments of `stepscan`, one list per process), `place` (for what they print),
`port`, `restarts`, and `signals` (`[process, signal, step, seconds]`: sent so many seconds after the checkpoint of that
step, or a later one, is first in the model folder `out`). Answers with one: `codes` (minus the number of a signal that
ended a process) and `said` (standard error of each).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

import stepscan.estimators.files
import stepscan.processes.group  # noqa: F401
from stepscan.cli import main

torch.set_num_threads(1)
torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # its first one imports for more than a second
LIMIT = 100.0  # seconds, after which a training hangs


def child(job: dict, rank: int, said: Path) -> None:
    size = len(job["commands"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
    if size > 1:
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "GROUP_RANK": 0}
        numbers |= {"MASTER_PORT": job["port"], "TORCHELASTIC_RESTART_COUNT": job["restarts"]}
        os.environ.update({name: str(number) for name, number in numbers.items()}, MASTER_ADDR="127.0.0.1")
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["stepscan", *job["commands"][rank]]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        os.write(descriptor, f"Traceback: {error!r}".encode())
        code = 99
    os._exit(code)


def newest_step(out: Path) -> int:
    """The step of the newest checkpoint, -1 if there is none."""
    try:
        names = [path.name for path in (out / "checkpoints").iterdir()]
    except FileNotFoundError:
        return -1
    return max((int(name[5:]) for name in names if name[5:].isdigit()), default=-1)


def run(job: dict) -> dict:
    place, processes = Path(job["place"]), []
    outputs = [place / f"said-{rank}" for rank in range(len(job["commands"]))]
    for rank, said in enumerate(outputs):
        process = os.fork()
        if process == 0:
            child(job, rank, said)
        processes.append(process)
    codes: dict[int, int] = {}
    signals, started = sorted(job["signals"], key=lambda one: one[2:]), time.perf_counter()
    reached: float | None = None  # when the step of the next signal was
    while len(codes) < len(processes):
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended:
            codes[processes.index(ended)] = os.waitstatus_to_exitcode(status)
        now = time.perf_counter()
        if signals and reached is None and newest_step(Path(job["out"])) >= signals[0][2]:
            reached = now
        if signals and reached is not None and now - reached >= signals[0][3]:
            rank, number, *_ = signals.pop(0)
            reached = None
            if rank not in codes:
                os.kill(processes[rank], number)
        if now - started > LIMIT:
            for rank in set(range(len(processes))) - set(codes):
                os.kill(processes[rank], 9)
        time.sleep(0.001)
    return {
        "codes": [codes[rank] for rank in sorted(codes)],
        "said": [path.read_text() for path in outputs],
    }


for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
