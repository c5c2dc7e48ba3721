"""`stepscan bench`: run benchmarks and print a table or JSON lines."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from stepscan.benchmarks import scans, sizes, streams
from stepscan.benchmarks.timing import OURS, Benchmark, Result, machine_limits
from stepscan.errors import SettingsError, nearest
from stepscan.hardware import cores, processor
from stepscan.json_text import json_text

__all__ = ["KINDS", "bench"]

KINDS: dict[str, Callable[[int, int], Iterator[Benchmark]]] = {
    "scan": scans.scan_benchmarks,
    "step": scans.step_benchmarks,
    "sizes": sizes.size_benchmarks,
    "stream": streams.stream_benchmarks,
    "generate": streams.generate_benchmarks,
}


def bench(kind: str, *, threads: int | None = None, rounds: int = 11, only: str = "", as_json: bool = False) -> None:
    """Compare our kernels with PyTorch's and ONNX Runtime's on this machine and print the results.

    Args:
        kind: `scan`, `step`, `sizes`, `stream` or `generate`.
        threads: of torch and of the kernels; by default torch's own choice.
        rounds: the number of times that each implementation is measured.
        only: run only benchmarks whose name contains this.
        as_json: print one JSON object per line: first the machine, then each result.

    Raises:
        SettingsError: an unknown kind, or no benchmark's name contains `only`.
    """
    if kind not in KINDS:
        raise SettingsError(f"expected a kind of benchmark, got {kind!r}.{nearest(kind, KINDS)}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        machine = _machine(torch.get_num_threads())
        chosen = (b for b in KINDS[kind](torch.get_num_threads(), rounds) if only in b.name)
        if (first := next(chosen, None)) is None:
            raise SettingsError(f"expected --only to match a {kind} benchmark, got {only!r}; omit it to run all")
        results = (benchmark.run() for benchmark in chain([first], chosen))
        if as_json:
            print(json_text({"machine": machine}), flush=True)
            for result in results:
                print(json_text(result.as_row(machine.get("peak_gflops", 0) * 1e9)), flush=True)
        else:
            _print(machine, list(results))
    finally:
        torch.set_num_threads(before)


def _machine(threads: int) -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": cores(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        **machine_limits(threads),
    }


def _print(machine: dict[str, Any], results: list[Result]) -> None:
    console = Console(width=150, soft_wrap=True)
    baselines = list(dict.fromkeys(name for result in results for name in result.ratios))
    table = Table("", OURS, *(f"{name} ÷ {OURS}" for name in baselines), "GFLOP/s", "of peak")
    for result in results:
        scale = {"ms": 1e3, "µs": 1e6}[result.unit] / result.per_call
        peak = machine.get("peak_gflops", 0) * 1e9
        speeds = [f"{result.speed / 1e9:.0f}", f"{result.speed / peak:.0%}" if peak else ""]
        table.add_row(
            result.name,
            f"{result.seconds[OURS] * scale:.3g} {result.unit}",
            *(f"{result.ratios[name]:.2f}" if name in result.ratios else "" for name in baselines),
            *(speeds if result.operations else ["", ""]),
        )
    console.print(table)
    for name, value in machine.items():
        console.print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}", highlight=False)
