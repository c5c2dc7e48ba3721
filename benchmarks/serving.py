"""`stepscan serve` under load, beside plain servers of the same model, by turns.

    pip install 'stepscan[serve,train,bench]'
    python benchmarks/serving.py streams    [--seconds 5] [--rounds 3] [--texts 1 16 64 256]
    python benchmarks/serving.py sessions   [--seconds 10]                10,000 sessions, each pushed every second
    python benchmarks/serving.py overload   [--seconds 600]               ten times the load that it can bear
    python benchmarks/serving.py first                                    a first symbol while 64 texts are written
    python benchmarks/serving.py malformed  [--count 100000]              requests that are wrong in many ways

The model has 2 LSTM of 256 units and 75 symbols, with random weights. Server and load generator share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import string
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from serving_load import Connection, closed_loop, open_loop, percentile
from serving_malformed import malformed
from serving_processes import GENERATE, cpu_seconds, ours, peer, resident
from serving_sessions import sessions

SYMBOLS = string.ascii_letters + string.digits + " .,;:!?'\n"


def make_models(folder: Path) -> None:
    """Write a language model and a tagger of signals."""
    import numpy as np

    import stepscan as ss

    text = "".join(random.Random(0).choices(SYMBOLS, k=20_000))
    ss.LanguageModel(cell="lstm", layers=2, hidden_size=256, embedding_size=256).build(text).save(folder / "model")
    series: list[Any] = [np.random.default_rng(0).normal(size=(50, 4)) for _ in range(8)]
    tags = [["up" if x[0] > 0 else "down" for x in one] for one in series]
    tagger = ss.Tagger(cell="lstm", layers=2, hidden_size=256, bidirectional=False, wide=False, epochs=1)
    tagger.fit(series, tags).save(folder / "signals")


def streams(folder: Path, seconds: float, rounds: int, texts: list[int]) -> None:
    """Texts at once: symbols a second, processor time, and times between events."""
    with ours(folder, 8201) as one, peer(folder, 8202, "torch") as two, peer(folder, 8203, "onnx") as three:
        servers = {
            "stepscan": (8201, GENERATE, one),
            "PyTorch": (8202, "/generate", two),
            "ONNX Runtime": (8203, "/generate", three),
        }
        print("| texts | server | symbols a second | ours ÷ its | processor time each | events p50 | p99 | first p50 |")
        for count in texts:
            seen: dict[str, list[_Watched]] = {name: [] for name in servers}
            for _ in range(rounds):
                for name, (port, path, process) in servers.items():
                    seen[name].append(asyncio.run(_watch(port, path, count, seconds, process)))
            for name, watched in seen.items():
                pairs = zip(seen["stepscan"], watched, strict=True)
                ratio = statistics.median(a.rate / max(b.rate, 1e-9) for a, b in pairs)
                gaps = [gap for one in watched for gap in one.gaps]
                first = percentile([value for one in watched for value in one.firsts], 0.5)
                rate, cpu = (statistics.median(getattr(one, field) for one in watched) for field in ("rate", "cpu"))
                print(f"| {count} | {name} | {rate:,.0f} | {ratio:.1f} | {1e6 * cpu:.0f} µs ", end="")
                print(
                    f"| {percentile(gaps, 0.5):.1f} ms | {percentile(gaps, 0.99):.1f} ms | {first:.1f} ms |", flush=True
                )


class _Watched(NamedTuple):
    """What was seen of several texts."""

    rate: float  # symbols a second
    cpu: float  # seconds of the server's processor time a symbol
    gaps: list[float]  # seconds between events
    firsts: list[float]  # seconds to the first event


async def _watch(
    port: int, path: str, count: int, seconds: float, process: subprocess.Popen[bytes] | None = None
) -> _Watched:
    """Read so many texts for a while."""
    body = json.dumps({"length": 100_000}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    begin = time.perf_counter() + 1
    end = begin + seconds
    gaps, firsts, letters = list[float](), list[float](), 0

    async def read() -> None:
        nonlocal letters
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        started, last = time.perf_counter(), 0.0
        writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"\r\n\r\n")
        while (now := time.perf_counter()) < end:
            size = int(await reader.readuntil(b"\r\n"), 16)
            chunk = (await reader.readexactly(size + 2))[:-2]
            now = time.perf_counter()
            if last:
                gaps.append(now - last)
            else:
                firsts.append(now - started)
            last = now
            if now >= begin:
                letters += sum(len(json.loads(line[6:]).get("text", "")) for line in chunk.split(b"\n\n") if line)
        writer.close()

    async def computed() -> float:
        await asyncio.sleep(begin - time.perf_counter())
        before = 0.0 if process is None else cpu_seconds(process)
        await asyncio.sleep(end - time.perf_counter())
        return 0.0 if process is None else cpu_seconds(process) - before

    cpu, *_ = await asyncio.gather(computed(), *(read() for _ in range(count)), return_exceptions=True)
    return _Watched(letters / seconds, float(cpu) / max(1, letters), gaps, firsts)  # type: ignore[arg-type]


def overload(folder: Path, seconds: float, streams: int = 4, queue: int = 1, length: int = 2000) -> None:
    """Ten times the load that the server can bear: accepted and refused requests, and memory."""
    fields = {"length": length, "stream": False}
    with ours(folder, 8221, "--streams", streams, "--queue", queue) as process:
        alone = asyncio.run(closed_loop(8221, GENERATE, fields, 1, 5))
        full = asyncio.run(closed_loop(8221, GENERATE, fields, streams, 5))
        capacity = len(full) / 5
        unloaded = percentile([one.seconds for one in alone], 0.99)
        print(f"alone p99 {unloaded:.0f} ms; with {streams} clients {capacity:.1f} requests a second, ", end="")
        print(f"p99 {percentile([one.seconds for one in full], 0.99):.0f} ms")
        before = resident(process)
        answers, rate = asyncio.run(open_loop(8221, GENERATE, fields, 10 * capacity, seconds))
        after = resident(process)
    accepted = [one.seconds for one in answers if one.status == 200]
    refused = [one.seconds for one in answers if one.status == 429]
    p99 = percentile(accepted, 0.99)
    print(
        f"{rate:,.0f} requests a second for {seconds:.0f} s: {len(accepted):,} accepted, {len(refused):,} refused, ",
        end="",
    )
    print(f"{len(answers) - len(accepted) - len(refused)} others")
    print(f"accepted p50 {percentile(accepted, 0.5):.0f} ms, p99 {p99:.0f} ms: {p99 / unloaded:.2f} × alone")
    print(f"refused p50 {percentile(refused, 0.5):.1f} ms, p99 {percentile(refused, 0.99):.1f} ms")
    print(f"resident memory {before:.0f} MB before, {after:.0f} MB after: {100 * (after / before - 1):+.1f} %")


def first(folder: Path) -> None:
    """How many steps a first symbol takes while 64 texts are written."""
    with ours(folder, 8231):
        asyncio.run(_first(8231))


async def _first(port: int) -> None:
    others = asyncio.ensure_future(_watch(port, GENERATE, 64, 8))
    await asyncio.sleep(2)
    steps, seconds = [], []
    for _ in range(50):
        connection = Connection(port)
        before = await asyncio.to_thread(_steps, port)
        answer = await connection.post(GENERATE, {"length": 1, "prompt": "a few letters", "stream": False})
        steps.append(await asyncio.to_thread(_steps, port) - before)
        seconds.append(answer.seconds)
        connection.close()
    watched = await others
    print(f"64 texts: {watched.rate:,.0f} symbols a second")
    print(f"a first symbol of another: p50 {percentile(seconds, 0.5):.1f} ms, p99 {percentile(seconds, 0.99):.1f} ms")
    print(f"steps between two readings of /metrics, one before and one after: p50 {statistics.median(steps):.0f}")


def _steps(port: int) -> float:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    [line] = [line for line in text.splitlines() if line.startswith('stepscan_steps_total{model="model"}')]
    return float(line.rpartition(" ")[2])


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["streams", "sessions", "overload", "first", "malformed"])
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--count", type=int, default=100_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_models(Path(folder))
        match arguments.what:
            case "streams":
                streams(Path(folder), arguments.seconds or 5, arguments.rounds, arguments.texts)
            case "sessions":
                sessions(Path(folder), arguments.seconds or 10)
            case "overload":
                overload(Path(folder), arguments.seconds or 600)
            case "first":
                first(Path(folder))
            case "malformed":
                malformed(Path(folder), arguments.count)


if __name__ == "__main__":
    main()
