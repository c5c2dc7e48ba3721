"""One training with the defaults on files, evaluated on a test: `defaults.py` runs this in a subprocess.

python benchmarks/training.py '{"task": "classify", "train": ["train.tsv"], "test": ["test.tsv"], "out": "model"}'
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import time
from numbers import Real
from typing import Any

from stepscan.data.task_data import ReadOptions
from stepscan.estimators import files
from stepscan.estimators.loader import load
from stepscan.models.files import evaluate


class Notes(logging.Handler):
    """Collects stepscan's notes on the data and the training."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def trained(
    task: str,
    train: list[str],
    test: list[str],
    out: str,
    settings: dict[str, Any],
    reading: dict[str, Any],
    test_reading: dict[str, Any],
    horizon: int,
) -> dict[str, Any]:
    """Train, save, load and evaluate; returns fields of a `Run`."""
    log, notes = logging.getLogger("stepscan"), Notes()
    log.addHandler(notes)
    log.setLevel(logging.INFO)
    started = time.perf_counter()
    report = files.train(task, train, out, settings=settings, reading=ReadOptions(**reading))
    seconds = time.perf_counter() - started
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    log.removeHandler(notes)
    scores = evaluate(load(out), test, reading=ReadOptions(**test_reading), horizon=horizon)
    return {
        "seconds": round(seconds, 1),
        "megabytes": round(kilobytes / 1024),
        "scores": {name: value for name, value in scores.items() if isinstance(value, Real)},
        "chosen": {name: value for name, value in report.items() if name not in ("task", "folder", "seconds")},
        "said": notes.lines,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("request", type=json.loads, help="the arguments of `trained`, as JSON")
    print(json.dumps(trained(**parser.parse_args().request), default=str))
