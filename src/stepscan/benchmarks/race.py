"""Rivals that take turns on one machine: medians, ratios, and how close to the machine's limit.

Machines are shared and their clocks drift, so nothing is compared that was not run in the same rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from stepscan.kernels.native import library

__all__ = ["Race", "Result", "limits", "race"]


@dataclass
class Result:
    """One line of a table: our time and the rivals', in seconds a call."""

    name: str
    seconds: dict[str, float]  # ours first, under "stepscan"
    ratios: dict[str, float]  # a rival's time over ours: the median over rounds of that of each round
    operations: float = 0.0  # floating-point operations a call; 0 where they are not what counts
    unit: str = "ms"
    per_call: int = 1  # what a call does so many of, such as steps
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def speed(self) -> float:
        """Our operations a second."""
        return self.operations / self.seconds["stepscan"]

    def as_row(self, peak: float | None) -> dict[str, Any]:
        """For JSON."""
        row = asdict(self)
        if self.operations:
            row["gflops"] = self.speed / 1e9
            if peak:
                row["share_of_peak"] = self.speed / peak
        return row


class Race(NamedTuple):
    """A line of a table before it is run."""

    name: str
    run: Callable[[], Result]


def race(
    name: str,
    runners: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 11,
    least_seconds: float = 0.01,
    prepare: Callable[[], Any] | None = None,
    **result: Any,
) -> Result:
    """Time `runners` by turns.

    Args:
        name: of the line.
        runners: ours under `"stepscan"`; each is run twice before anything is timed.
        rounds: how often each has its turn.
        least_seconds: a turn repeats its call until it takes about so long.
        prepare: called before each turn and not timed, such as a change of the weights.
        result: more fields of the `Result`.
    """
    repeats = {}
    for runner_name, run in runners.items():
        run()
        started = time.perf_counter()
        run()
        repeats[runner_name] = max(1, int(least_seconds / max(time.perf_counter() - started, 1e-7)))
    times: dict[str, list[float]] = {runner_name: [] for runner_name in runners}
    for _ in range(rounds):
        for runner_name, run in runners.items():
            time.sleep(0.02)  # until the threads of the one before have stopped spinning on the cores
            run()
            if prepare is not None:
                prepare()
            started = time.perf_counter()
            for _ in range(repeats[runner_name]):
                run()
            times[runner_name].append((time.perf_counter() - started) / repeats[runner_name])
    ours = times["stepscan"]
    ratios = {
        rival: statistics.median(theirs / own for theirs, own in zip(seconds, ours, strict=True))
        for rival, seconds in times.items()
        if rival != "stepscan"
    }
    return Result(name, {n: statistics.median(seconds) for n, seconds in times.items()}, ratios, **result)


def limits(threads: int) -> dict[str, Any]:
    """What this machine can do at most, measured now: multiply-adds in registers, and a barrier between threads."""
    if library is None:
        return {}
    return {
        "instruction_set": library.instruction_set(),
        "threads": threads,
        "peak_gflops": statistics.median(library.peak_flops(threads) for _ in range(5)) / 1e9,
        "peak_gflops_one_thread": statistics.median(library.peak_flops(1) for _ in range(5)) / 1e9,
        "barrier_ns": statistics.median(library.barrier_seconds(threads) for _ in range(5)) * 1e9,
    }
