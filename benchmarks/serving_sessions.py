"""Many sessions, each pushed once a second."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path

from serving_load import Connection, closed_loop, percentile
from serving_processes import cpu_seconds, ours, resident


def sessions(folder: Path, seconds: float, count: int = 10_000, batch: int = 250) -> None:
    """Many sessions, each pushed once a second, in batches over WebSockets."""
    with ours(folder, 8211, "--rollback", 0, "--max-items", 200_000) as process:
        before = resident(process)
        ids = asyncio.run(_open(8211, count))
        opened = resident(process)
        print(f"memory a session: {1024 * (opened - before) / count:.1f} kB (2 LSTM of 256: 4 kB of state)")
        _push_all(process, ids, seconds, batch)
        cpu = cpu_seconds(process)
        flat = asyncio.run(closed_loop(8211, f"/v1/sessions/{ids[0]}/push", {"items": [0.5, 1, 2, 3]}, 1, 2))
        many = asyncio.run(_push_each(8211, ids[:64], 3))
        each = 1e6 * (cpu_seconds(process) - cpu) / (len(flat) + 3 * many)
        print(
            f"one push a request: {len(flat) / 2:,.0f}/s by 1 client, {many:,.0f}/s by 64; {each:.0f} µs of processor"
        )


def _push_all(process: subprocess.Popen[bytes], ids: list[str], seconds: float, batch: int) -> None:
    """Push each session once a second, a batch a message."""
    from websockets.sync.client import connect

    groups = [ids[start : start + batch] for start in range(0, len(ids), batch)]
    messages = [json.dumps({"sessions": group, "items": [[0.5, 1, 2, 3]] * len(group)}) for group in groups]
    latencies, late = [], 0.0
    with connect("ws://127.0.0.1:8211/v1/push", compression=None, max_size=2**24) as connection:
        started, cpu = time.perf_counter(), cpu_seconds(process)
        for number in range(int(seconds) * len(messages)):
            due = started + number / len(messages)
            time.sleep(max(0.0, due - time.perf_counter()))
            sent = time.perf_counter()
            late = max(late, sent - due)
            connection.send(messages[number % len(messages)])
            connection.recv()
            latencies.append(time.perf_counter() - sent)
        took, cpu = time.perf_counter() - started, cpu_seconds(process) - cpu
    pushes, p50, p99 = int(seconds) * len(ids), percentile(latencies, 0.5), percentile(latencies, 0.99)
    share = 100 * len(ids) * cpu / pushes
    print(
        f"processor time of the server: {1e6 * cpu / pushes:.0f} µs a push, {share:.0f} % of a core at {len(ids):,}/s"
    )
    print(
        f"{len(ids):,} sessions for {took:.1f} s: {pushes / took:,.0f} pushes/s, late by {1000 * late:.0f} ms at most"
    )
    print(f"a message of {batch} pushes: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


async def _open(port: int, count: int) -> list[str]:
    connections, ids = [Connection(port) for _ in range(8)], []

    async def open_some(connection: Connection) -> None:
        for _ in range(count // len(connections)):
            answer = await connection.post("/v1/models/signals/sessions", {})
            ids.append(json.loads(answer.body)["id"])

    await asyncio.gather(*map(open_some, connections))
    return ids


async def _push_each(port: int, ids: list[str], seconds: float) -> float:
    count, end = 0, time.perf_counter() + seconds

    async def push(id: str) -> None:
        nonlocal count
        connection = Connection(port)
        while time.perf_counter() < end:
            await connection.post(f"/v1/sessions/{id}/push", {"items": [0.5, 1, 2, 3]})
            count += 1

    await asyncio.gather(*map(push, ids))
    return count / seconds
