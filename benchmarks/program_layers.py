"""Models whose cells are programs, loaded from their folders, beside the LSTM that is written by hand: steps in
sessions, and generation. Medians of the main thread's own processor time, by turns.

    python benchmarks/program_layers.py [--size 128] [--rounds 11]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from program_peers import Leaky

import stepscan as ss
from stepscan import runtime

SYMBOLS, BLOCK, ROWS, LENGTH = 64, 64, 64, 500
Task = tuple[Callable[[], Any], int]  # what is timed, and how many steps or symbols it is


ss.register("leaky")(Leaky)


def tasks(cell: str, size: int, folder: Path) -> dict[str, Task]:
    """What is timed of one cell."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    series: list[Any] = [generator.normal(size=(20, size)) for _ in range(8)]
    tags = [["up" if row[0] > 0 else "down" for row in one] for one in series]
    settings: dict[str, Any] = {"cell": cell, "hidden_size": size, "epochs": 1, "batch_size": 4, "verbose": False}
    ss.Tagger(bidirectional=False, **settings).fit(series, tags).save(folder / f"{cell} tagger")
    text = "".join(chr(33 + symbol) for symbol in generator.integers(0, SYMBOLS, 2000))
    ss.LanguageModel(embedding_size=size, bptt=16, **settings).fit(text).save(folder / f"{cell} writer")
    tagger, writer = (runtime.load(folder / f"{cell} {kind}") for kind in ("tagger", "writer"))
    steps, out = generator.normal(size=(BLOCK, size)), np.empty((BLOCK, 2), np.float32)
    session, block, many = tagger.session(), tagger.session(), [tagger.session() for _ in range(ROWS)]
    items = list(generator.normal(size=(ROWS, size)))

    def push() -> None:
        for step in steps:
            session.push(step[None])

    return {
        "push, µs": (push, BLOCK),
        f"push_block of {BLOCK}, µs a step": (lambda: block.push_block(steps, out), BLOCK),
        f"step_batch of {ROWS}, µs a row": (lambda: tagger.step_batch(many, items), ROWS),
        "generate, µs a symbol": (lambda: writer.generate("!", length=LENGTH, seed=0), LENGTH),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--cells", default="lstm,mingru,rglru,leaky")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        of_cells = {cell: tasks(cell, arguments.size, Path(folder)) for cell in arguments.cells.split(",")}
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(arguments.rounds):
            for cell, timed in of_cells.items():
                for name, (run, count) in timed.items():
                    start = time.thread_time()
                    run()
                    times.setdefault((cell, name), []).append(1e6 * (time.thread_time() - start) / count)
        for name in next(iter(of_cells.values())):
            print(f"{name:30}", *(f"{cell} {statistics.median(times[cell, name]):8.2f}" for cell in of_cells))


if __name__ == "__main__":
    main()
