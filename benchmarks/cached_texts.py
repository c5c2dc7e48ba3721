"""Training on texts in a cache: memory as the data grow, and speed beside texts in memory, by turns.

python benchmarks/cached_texts.py [--rows 100000 1000000]

Memory is the largest anonymous memory (RssAnon) of `stepscan train classify --cache-dir`, seen every 50 ms, once while
the cache is made and once when it is there; pages of mapped files belong to the kernel's cache. Speed: of updates
on batches of the same texts out of the cache and of memory, 25 by 25; a ratio is the median of the turns.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from stepscan.data.batching import TrainingBatch
from stepscan.data.ragged_rows import RaggedRows
from stepscan.data.task_data import ReadOptions
from stepscan.estimators.classifier import Classifier
from stepscan.estimators.encoding import EncodedExamples
from stepscan.estimators.example_cache import open_cache
from stepscan.hardware import processor

SEED, PORTION, TURN = 0, 100_000, 25
SETTINGS: dict[str, Any] = {"hidden_size": 64, "embedding_size": 64, "batch_size": 32, "seed": SEED}


def write_corpus(path: Path, rows: int) -> None:
    """Texts of 8 to 15 words out of 20,000, with one of two labels, as Parquet."""
    random = np.random.default_rng(SEED)
    words = np.array([f"w{i}" for i in range(20_000)])
    schema = pa.schema([("text", pa.string()), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, PORTION):
            count = min(PORTION, rows - start)
            ids = (len(words) * random.random((count, 15)) ** 3).astype(int)
            ends = random.integers(8, 16, count)
            texts = [" ".join(row[:end]) for row, end in zip(words[ids].tolist(), ends.tolist(), strict=True)]
            labels = np.where(ids[:, 0] % 2 == 0, "even", "odd").tolist()
            writer.write_table(pa.table({"text": texts, "label": labels}, schema=schema))


def largest_memory(command: list[str]) -> tuple[float, float]:
    """Megabytes of anonymous memory of a command, the largest, and its seconds."""
    started, largest = time.perf_counter(), 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None:
            lines = Path(f"/proc/{process.pid}/status").read_text("ascii").splitlines()
            largest = max([largest, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))])
            time.sleep(0.05)
    assert process.returncode == 0, command
    return largest / 1024, time.perf_counter() - started


def endless(batches: Any) -> Iterator[TrainingBatch]:
    for epoch in itertools.count():
        yield from batches(epoch)


def compare_speed(corpus: Path, cache: Path, turns: int) -> tuple[float, float, float]:
    """Tokens a second out of the cache and out of memory, and the ratio."""
    estimator = Classifier(cache_dir=str(cache), **SETTINGS)
    cached = open_cache(estimator, [corpus], ReadOptions(), holds_out=True)
    settings = estimator.training_options()
    estimator._vectors, estimator._vector_arguments = None, {}
    estimator._cached_data(cached, cached.held_out)  # chooses settings
    columns = {
        name: RaggedRows(np.array(column.values), np.array(column.ends))
        if isinstance(column, RaggedRows)
        else np.array(column)
        for name, column in cached.columns.items()
    }
    ways = {"cache": cached, "memory": EncodedExamples(columns, cached.vocabulary, encoded_with=cached.encoded_with)}
    sources = {}
    for name, examples in ways.items():
        task = estimator._prepare(examples, None, settings)
        sources[name] = endless(task.batches)
    model = estimator.model_.train()
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, source in sources.items():
            started, tokens = time.perf_counter(), 0
            for batch in itertools.islice(source, TURN):
                model.zero_grad()
                model.loss(batch.inputs, batch.targets).total.backward()
                tokens += batch.tokens
            speeds[name].append(tokens / (time.perf_counter() - started))
    ratios = [one / other for one, other in zip(speeds["cache"], speeds["memory"], strict=True)]
    return statistics.median(speeds["cache"]), statistics.median(speeds["memory"]), statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--turns", type=int, default=41)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    load, today = os.getloadavg()[0], datetime.date.today()
    print(f"{processor()}, {os.cpu_count()} virtual cores, load {load:.1f} before, {today}, seed {SEED}, one thread")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, rows in enumerate(arguments.rows):
            corpus = folder / f"{rows}.parquet"
            write_corpus(corpus, rows)
            command = [sys.executable, "-m", "stepscan", "train", "classify", "--train", str(corpus), "--quiet"]
            command += ["--max-updates", "300", "--cache-dir", str(folder / "cache"), "--overwrite"]
            command += ["--out", str(folder / "model")]
            command += [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
            making, seconds = largest_memory(command)
            using, _ = largest_memory(command)
            print(
                f"{rows:>11,} rows: {making:,.0f} MB while the cache is made ({seconds:.0f} s), {using:,.0f} MB after"
            )
            if number == 0:
                cache, memory, ratio = compare_speed(corpus, folder / "cache", arguments.turns)
                print(f"  {cache:,.0f} tokens/s out of the cache, {memory:,.0f} out of memory: {ratio:.3f} ×")


if __name__ == "__main__":
    main()
