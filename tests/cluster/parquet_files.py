"""Parquet files with inputs for models of each task."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow", reason="needs pyarrow")
pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")


def rows_of(task: str, count: int, seed: int = 0) -> dict[str, list[Any]]:
    """Columns of so many inputs of a task."""
    draw = random.Random(seed)
    if task == "tag":
        return {"tokens": [draw.choices(["ab", "ba", "cd"], k=draw.randint(0, 5)) for _ in range(count)]}
    if task == "translate":
        return {"source": ["".join(draw.choices("abc", k=draw.randint(1, 5))) for _ in range(count)]}
    words = ["a", "good", "bad", "film", ",", "x", "1", "2", "3", "unknown", "é"]
    return {
        "id": list(range(count)),
        "text": [" ".join(draw.choices(words, k=draw.randint(0, 9))) for _ in range(count)],
    }


def write(path: Path, columns: dict[str, list[Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, without the plan of the run."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of all files, in the order of their names."""
    return [row for path in sorted(folder.rglob("*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()]
