"""Interleaved timing of implementations on one machine: medians, speed-ups, and the share of the machine's peak.

Machines are shared and their clocks drift, so that only times of the same rounds are compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from stepscan.kernels.native import library

__all__ = ["OURS", "Benchmark", "Result", "compare", "machine_limits"]

OURS = "stepscan"  # the name of our implementation among those that are timed


@dataclass
class Result:
    """The times of our implementation and of the baselines, in seconds per call."""

    name: str
    seconds: dict[str, float]  # by implementation, ours first
    ratios: dict[str, float]  # by baseline: the median over rounds of its time divided by ours
    operations: float = 0.0  # floating-point operations per call; 0 where these are not the cost
    unit: str = "ms"
    per_call: int = 1  # units of work per call, such as steps
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def speed(self) -> float:
        """Our floating-point operations per second."""
        return self.operations / self.seconds[OURS]

    def as_row(self, peak: float | None) -> dict[str, Any]:
        """The result for JSON; `peak` is the machine's floating-point operations per second."""
        row = asdict(self)
        if self.operations:
            row["gflops"] = self.speed / 1e9
            if peak:
                row["share_of_peak"] = self.speed / peak
        return row


class Benchmark(NamedTuple):
    """A named measurement."""

    name: str
    run: Callable[[], Result]


def compare(
    name: str,
    implementations: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 11,
    min_seconds: float = 0.01,
    prepare: Callable[[], Any] | None = None,
    **result: Any,
) -> Result:
    """Time implementations of the same work, alternating between them in each round.

    Args:
        name: of the result.
        implementations: ours is `"stepscan"`, the others are baselines; each is called twice before anything is timed.
        rounds: the number of times that each is measured.
        min_seconds: a measurement repeats its call for about this time.
        prepare: called before each measurement and not timed, for example to change the weights.
        result: further fields of the `Result`.
    """
    repeats = {}
    for implementation, run in implementations.items():
        run()
        started = time.perf_counter()
        run()
        repeats[implementation] = max(1, int(min_seconds / max(time.perf_counter() - started, 1e-7)))
    times: dict[str, list[float]] = {implementation: [] for implementation in implementations}
    for _ in range(rounds):
        for implementation, run in implementations.items():
            time.sleep(0.02)  # until the threads of the previous one have stopped spinning on the cores
            run()
            if prepare is not None:
                prepare()
            started = time.perf_counter()
            for _ in range(repeats[implementation]):
                run()
            times[implementation].append((time.perf_counter() - started) / repeats[implementation])
    ratios = {
        baseline: statistics.median(theirs / ours for theirs, ours in zip(seconds, times[OURS], strict=True))
        for baseline, seconds in times.items()
        if baseline != OURS
    }
    return Result(name, {n: statistics.median(seconds) for n, seconds in times.items()}, ratios, **result)


def machine_limits(threads: int) -> dict[str, Any]:
    """The machine's limits, measured now: multiply-adds in registers, and a barrier between threads."""
    if library is None:
        return {}
    return {
        "instruction_set": library.instruction_set(),
        "threads": threads,
        "peak_gflops": statistics.median(library.peak_flops(threads) for _ in range(5)) / 1e9,
        "peak_gflops_one_thread": statistics.median(library.peak_flops(1) for _ in range(5)) / 1e9,
        "barrier_ns": statistics.median(library.barrier_seconds(threads) for _ in range(5)) * 1e9,
    }
