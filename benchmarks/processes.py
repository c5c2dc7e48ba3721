"""Strong scaling of training: one process with one thread, two with one thread each, one with two threads, by turns.

python benchmarks/processes.py [--rounds 3] [--updates 40]

The same generated corpus, model, seed and global batch. An update costs the difference between trainings of N and 3 N
updates, so that the start does not count: by the clock, which on a busy machine says little, and in processor time of
all processes together. Ratios are to one process with one thread in the same round, medians of the rounds.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from stepscan.hardware import processor

WAYS = {  # name → processes, threads of each
    "1 process × 1 thread": (1, 1),
    "2 processes × 1 thread": (2, 1),
    "1 process × 2 threads": (1, 2),
}
CASES = {  # name → options
    "BiLSTM of 2 × 256, batches of 64 texts": "--hidden-size 256 --batch-size 64 --embedding-size 128",
    "BiLSTM of 2 × 64, batches of 64 texts": "--hidden-size 64 --batch-size 64 --embedding-size 64",
}
SEED = 0


def write_corpus(path: Path, texts: int) -> None:
    """Texts of 20 to 60 words out of 5,000, with one of two labels."""
    draw = random.Random(SEED)
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for _ in range(texts):
            words = [f"w{int(5000 * draw.random() ** 3)}" for _ in range(draw.randint(20, 60))]
            file.write(f"{' '.join(words)},{'even' if len(words) % 2 else 'odd'}\n")


class Cost(NamedTuple):
    """Of one update."""

    wall: float  # seconds
    processor: float  # seconds of all processes together


def cost(corpus: Path, out: Path, options: str, way: tuple[int, int], updates: int) -> Cost:
    """The cost of an update: the difference between trainings of one and of three times as many, without the start."""
    (wall, processor), (longer_wall, longer_processor) = (
        _costs(corpus, out, options, way, count) for count in (updates, 3 * updates)
    )
    return Cost((longer_wall - wall) / (2 * updates), (longer_processor - processor) / (2 * updates))


def _costs(corpus: Path, out: Path, options: str, way: tuple[int, int], updates: int) -> tuple[float, float]:
    """Seconds of the training by its own clock, and processor seconds of all its processes."""
    processes, threads = way
    command = [sys.executable, "-m", "stepscan", "train", "classify", "--train", str(corpus)]
    command += ["--valid", f"{corpus}.valid", "--out", str(out), "--overwrite", *options.split()]
    limits = f"--max-updates {updates} --no-wide --no-refit --seed {SEED} --quiet --processes {processes}"
    child = subprocess.Popen(
        [*command, *limits.split()],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {child.returncode}")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    return rows[-1]["seconds"], used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--without-threads", action="store_true", help="leave out one process with two threads")
    arguments = parser.parse_args()
    ways = {way: numbers for way, numbers in WAYS.items() if not arguments.without_threads or numbers[1] == 1}
    load, today = os.getloadavg()[0], datetime.date.today()
    print(f"{processor()}, {os.cpu_count()} virtual cores, load {load:.1f} before, {today}, seed {SEED}")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "texts.csv"
        write_corpus(corpus, 64 * 20)
        write_corpus(Path(f"{corpus}.valid"), 20)
        for name, options in CASES.items():
            costs: dict[str, list[Cost]] = {way: [] for way in ways}
            for _ in range(arguments.rounds):
                for way, numbers in ways.items():
                    costs[way].append(cost(corpus, Path(folder) / "model", options, numbers, arguments.updates))
            report(name, costs)


def report(name: str, costs: dict[str, list[Cost]]) -> None:
    """Print medians, and medians of the ratios to the first way."""
    print(name)
    base = next(iter(costs.values()))
    for way, values in costs.items():
        wall, used = (statistics.median(one[i] for one in values) for i in (0, 1))
        pairs = list(zip(values, base, strict=True))
        faster = statistics.median(one.wall / value.wall for value, one in pairs)
        dearer = statistics.median(value.processor / one.processor for value, one in pairs)
        print(
            f"  {way:<24} {1e3 * wall:>7.1f} ms an update, {faster:.2f} × as fast; "
            f"{1e3 * used:>7.1f} ms of processor time, {dearer:.2f} ×"
        )


if __name__ == "__main__":
    main()
