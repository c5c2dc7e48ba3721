"""Requests that are wrong in many ways."""

from __future__ import annotations

import asyncio
import random
import subprocess
from pathlib import Path
from typing import Any

from serving_load import Connection
from serving_processes import GENERATE, ours, resident


def malformed(folder: Path, count: int) -> None:
    """Requests that are wrong in many ways: no fault of the server, and no growth."""
    with ours(folder, 8241) as process:
        statuses, before = asyncio.run(_malformed(8241, count, process))
        print(f"{count:,} requests: " + ", ".join(f"{n:,} × {status}" for status, n in sorted(statuses.items())))
        print(f"resident memory {before:.0f} MB after the first tenth, {resident(process):.0f} MB at the end")


async def _malformed(port: int, count: int, process: subprocess.Popen[bytes]) -> tuple[dict[int, int], float]:
    draw, statuses, before = random.Random(0), dict[int, int](), 0.0
    names = ["inputs", "items", "sessions", "prompt", "length", "temperature", "top_k", "stop", "seed", "n", "model"]
    values: list[Any] = [
        None,
        True,
        -1,
        0,
        2**63,
        1e308,
        "",
        "é😀",
        "a" * 999,
        [],
        ["a"],
        [[1, 2]],
        [[[1]]],
        {},
        {"a": {}},
    ]
    paths = [
        GENERATE,
        *(f"/v1/models/{name}/{what}" for name in ("model", "signals", "x") for what in ("predict", "forecast")),
    ]
    paths += ["/v1/completions", "/v1/push", "/v1/sessions/x/push", "/v1/models/signals/sessions", "/nothing"]
    connection = Connection(port)
    for number in range(count):
        fields = {draw.choice(names): draw.choice(values) for _ in range(draw.randint(0, 4))}
        answer = await connection.post(draw.choice(paths), {**fields, "stream": False, "ttl": 1})
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        if number == count // 10:
            before = resident(process)
    return statuses, before
