"""Runs trainings in forked children, so that PyTorch is imported once for hundreds of them.

Reads one JSON object a line: `arguments`, `environment`, `out` (the model folder), `kill_after` (seconds from when that
is first there, or null). Answers with one: `code` (minus the number of a signal that ended it), `said` (what went to
standard error), `calls` (that changed files), `seconds` (from when the folder was first there).
"""

from __future__ import annotations

import ctypes
import io
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

import stepscan.estimators.files  # noqa: F401
from stepscan.cli import main

torch.set_num_threads(1)
torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # its first one imports for more than a second


def child(job: dict, said: Path, counted: Path) -> None:
    os.environ.update(job["environment"])
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    sys.argv = ["stepscan", *job["arguments"]]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:
        os.write(2, f"Traceback: {error!r}".encode())
        code = 99
    counted.write_text(str(ctypes.CDLL(None).fault_calls()))
    os._exit(code)


def run(job: dict, place: Path) -> dict:
    said, counted = place / "said", place / "counted"
    said.write_text("")
    counted.write_text("-1")
    process = os.fork()
    if process == 0:
        child(job, said, counted)
    begun = None  # when the first file was written
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            break
        now = time.perf_counter()
        if begun is None and os.path.exists(job["out"]):
            begun = now
        if begun is not None and job["kill_after"] is not None and now - begun >= job["kill_after"]:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.0005)
    seconds = time.perf_counter() - (begun or 0)
    calls = int(counted.read_text() or -1)  # empty where the signal came while it was written
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "said": said.read_text(), "calls": calls, "seconds": seconds}


with tempfile.TemporaryDirectory() as folder:
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line), Path(folder))), flush=True)
