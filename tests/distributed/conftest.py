from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from process_trainings import Trainings

import stepscan

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def trainings(tmp_path_factory):
    place = tmp_path_factory.mktemp("processes")
    source = str(Path(stepscan.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    with subprocess.Popen(
        [sys.executable, str(HERE / "forks.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=place,
    ) as worker:
        yield Trainings(worker, place)
        worker.stdin.close()


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A small file for each task, by its name."""
    folder, draw = tmp_path_factory.mktemp("data"), random.Random(0)
    words = ["cat", "dog", "runs", "eats", "red", "big"]

    def sentence() -> list[str]:
        return [draw.choice(words) for _ in range(draw.randint(1, 9))]

    rows = [(sentence(), draw.choice(["yes", "no"])) for _ in range(60)]
    contents = {
        "classify": "text,label\n" + "".join(f"{' '.join(words)},{label}\n" for words, label in rows),
        "tag": "\n".join("".join(f"{word} {word[0].upper()}\n" for word in sentence()) for _ in range(60)),
        "generate": "".join(f"{n} times {n} is {n * n}.\n" for n in range(120)),
        "translate": "source\ttarget\n" + "".join(f"{' '.join(words)}\t{' '.join(words[::-1])}\n" for words, _ in rows),
        "forecast": "value\n" + "".join(f"{10 + np.sin(n / 3):.4f}\n" for n in range(200)),
    }
    files = {}
    for task, content in contents.items():
        files[task] = (
            folder / f"{task}.{'tsv' if task == 'translate' else 'txt' if task in ('tag', 'generate') else 'csv'}"
        )
        files[task].write_text(content)
    return files
