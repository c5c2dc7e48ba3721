"""Strong scaling of training: one process with one thread, two with one thread each, one with two threads, by turns.

python benchmarks/processes.py [--rounds 3] [--updates 60]

The same generated corpus, model, seed and global batch. Speed is tokens a second, without the time that processes need
to start; a ratio is the median of the rounds' ratios to one process with one thread of the same round.
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


def speed(corpus: Path, out: Path, options: str, way: tuple[int, int], updates: int) -> float:
    """Tokens a second of one training, all its processes together."""
    processes, threads = way
    command = [
        sys.executable,
        "-m",
        "stepscan",
        "train",
        "classify",
        "--train",
        str(corpus),
        "--valid",
        str(corpus) + ".valid",
    ]
    limits = f"--max-updates {updates} --no-wide --no-refit --seed {SEED} --quiet --processes {processes}"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(
        [*command, "--out", str(out), "--overwrite", *options.split(), *limits.split()],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    return float(statistics.median(row["tokens_per_second"] for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=60)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"{processor()}, {os.cpu_count()} virtual cores, load {load:.1f} before, {datetime.date.today()}, seed {SEED}"
    )
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "texts.csv"
        write_corpus(corpus, 64 * arguments.updates)
        write_corpus(Path(f"{corpus}.valid"), 100)
        for name, options in CASES.items():
            speeds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(arguments.rounds):
                for way, numbers in WAYS.items():
                    speeds[way].append(speed(corpus, Path(folder) / "model", options, numbers, arguments.updates))
            print(name)
            base = speeds["1 process × 1 thread"]
            for way, values in speeds.items():
                ratio = statistics.median(value / one for value, one in zip(values, base, strict=True))
                print(f"  {way:<24} {statistics.median(values):>9,.0f} tokens/s   {ratio:.2f} ×")


if __name__ == "__main__":
    main()
