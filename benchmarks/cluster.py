"""Prediction on Ray beside one process: time, processor time of what predicts, memory of a worker; by turns.

python benchmarks/cluster.py [--rows 1000000] [--rounds 3] [--processors 1 2] [--nodes]

Generated texts of 10 to 40 words in ten Parquet files; a BiLSTM of 2 × 64. `stepscan predict` with one thread stands
beside one worker, with two threads beside two. Overhead is the median of the rounds' ratios of seconds: of the whole
command, and without the seconds that a run of 1,000 rows takes, which is what starting costs. With `--nodes`, a head
and two nodes of one processor each are started, and two workers run there. All use the first two processors.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from ray_nodes import ENVIRONMENT, ray_nodes

from stepscan.hardware import processor

SEED = 0
FILES = 10
FEW = 1000  # rows of a run that shows what starting costs
WAYS = {  # name → options, processors
    "1 thread": ([], 1),
    "2 threads": ([], 2),
    "Ray, 1 worker": (["--ray", "--workers", "1"], 2),
    "Ray, 2 workers": (["--ray", "--workers", "2"], 2),
}
PAIRS = [("Ray, 1 worker", "1 thread"), ("Ray, 2 workers", "2 threads")]


class Run(NamedTuple):
    """What a run took."""

    seconds: float
    processor_seconds: float  # of the process that predicts, or of the workers
    memory: list[float]  # MB that the process, or a worker, has for itself, over time
    idle: float  # MB of a worker of Ray without a model; 0 without Ray


def write_texts(folder: Path, rows: int) -> None:
    """Texts in files of equal size."""
    draw = random.Random(SEED)
    folder.mkdir()
    for file in range(FILES):
        texts = [" ".join(_words(draw)) for _ in range(rows // FILES)]
        pq.write_table(pa.table({"text": texts}), folder / f"{file:02d}.parquet")


def _words(draw: random.Random) -> list[str]:
    return [f"w{int(5000 * draw.random() ** 3)}" for _ in range(draw.randint(10, 40))]


def train(folder: Path) -> None:
    """A model of usual size; how well it predicts is not measured here."""
    import stepscan as ss

    draw = random.Random(SEED + 1)
    texts = [" ".join(_words(draw)) for _ in range(2000)]
    labels = ["even" if len(text.split()) % 2 else "odd" for text in texts]
    settings: dict[str, Any] = {"hidden_size": 64, "embedding_size": 64, "layers": 1, "max_updates": 20, "wide": False}
    ss.Classifier(seed=SEED, refit=False, **settings).fit(texts, labels).save(folder)


def run(model: Path, source: Path, out: Path, options: list[str], processors: int) -> Run:
    """One run of the command, watched from outside."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "stepscan", "predict", str(model), "--input", str(source), "--output", str(out)]
    allowed = sorted(os.sched_getaffinity(0))[:processors]
    environment = {**os.environ, **ENVIRONMENT}
    start, memory, busy, idle = time.monotonic(), [], {}, 0.0
    with subprocess.Popen(
        [*command, *options],
        env=environment,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    ) as process:
        while process.poll() is None:
            names = dict(_descendants(os.getpid())) if options else {process.pid: "stepscan"}
            for pid, name in names.items():
                with contextlib.suppress(OSError, ValueError, IndexError):
                    if "ray::IDLE" in name:
                        idle = max(idle, _private(pid))
                    elif not options or "ray::MapWorker" in name:
                        memory.append(_private(pid))
                        busy[pid] = _processor_seconds(pid)
            time.sleep(0.25)
        seconds = time.monotonic() - start
        assert process.stderr is not None
        assert process.returncode == 0, process.stderr.read().decode()
    return Run(seconds, sum(busy.values()), memory, idle)


def _descendants(pid: int) -> Iterator[tuple[int, str]]:
    """The processes that a process has started, and those that these have, with their names."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                with contextlib.suppress(OSError):
                    yield child, Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                yield from _descendants(child)


def _private(pid: int) -> float:
    """MB that a process has in memory and shares with no other."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(lines[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) / 1024


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _busy(run: Run, start: Run) -> float:
    """Processor seconds without those of starting."""
    return run.processor_seconds - start.processor_seconds


def report(name: str, runs: list[Run], start: float, rows: int) -> None:
    """A line of the table."""
    seconds = statistics.median(one.seconds for one in runs)
    busy = statistics.median(one.processor_seconds for one in runs)
    memory = [value for one in runs for value in one.memory[len(one.memory) // 4 :]]  # without loading
    early, late = (statistics.mean(part) for part in (memory[: len(memory) // 3], memory[-(len(memory) // 3) :]))
    idle = max(one.idle for one in runs)
    extra = f" (a worker of Ray without a model: {idle:.0f})" if idle else ""
    print(
        f"{name:<16} {seconds:8.1f} s  {rows / seconds:9,.0f} rows/s  start {start:5.1f} s  processor {busy:7.1f} s  "
        f"memory {max(memory):4.0f} MB, from {early:.0f} to {late:.0f}{extra}",
        flush=True,
    )


def main() -> None:
    """Measure, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processors", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--nodes", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        ways = {way: WAYS[way] for pair in PAIRS for way in pair if int(pair[1].split()[0]) in given.processors}
        if given.nodes:
            ways = {"2 threads": WAYS["2 threads"]}
            address = stack.enter_context(ray_nodes())
            ways["Ray, 2 nodes"] = (["--ray", address, "--workers", "2"], 2)
        print(
            f"{datetime.date.today()}, {processor()}, load {os.getloadavg()[0]:.1f}, seed {SEED}, {given.rows:,} rows"
        )
        write_texts(folder / "in", given.rows)
        write_texts(folder / "few", FEW)
        train(folder / "model")
        measure(folder, ways, given.rows, given.rounds)


def measure(folder: Path, ways: dict[str, tuple[list[str], int]], rows: int, rounds: int) -> None:
    """All ways by turns; the files that they write are compared."""
    runs: dict[str, list[Run]] = {way: [] for way in ways}
    starts: dict[str, list[Run]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (options, processors) in ways.items():
            starts[way].append(run(folder / "model", folder / "few", folder / way, options, processors))
            runs[way].append(run(folder / "model", folder / "in", folder / way, options, processors))
            print(f"  {way}: {starts[way][-1].seconds:.1f} s to start, {runs[way][-1].seconds:.1f} s", flush=True)
    for way in ways:
        report(way, runs[way], statistics.median(one.seconds for one in starts[way]), rows)
    for cluster, alone in [pair for pair in [*PAIRS, ("Ray, 2 nodes", "2 threads")] if set(pair) <= ways.keys()]:
        both = list(zip(runs[cluster], starts[cluster], runs[alone], starts[alone], strict=True))
        whole = statistics.median(a.seconds / b.seconds for a, _, b, _ in both) - 1
        steady = statistics.median((a.seconds - x.seconds) / (b.seconds - y.seconds) for a, x, b, y in both) - 1
        busy = statistics.median(_busy(a, x) / _busy(b, y) for a, x, b, y in both) - 1
        print(f"{cluster} beside {alone}: {whole:+.1%}, without starting {steady:+.1%}, processor time {busy:+.1%}")
        files = sorted(path.name for path in (folder / alone).glob("*.parquet"))
        same = all((folder / alone / one).read_bytes() == (folder / cluster / one).read_bytes() for one in files)
        print(f"  {len(files)} files, {'the same bytes' if same else 'OTHER BYTES'}")


if __name__ == "__main__":
    main()
