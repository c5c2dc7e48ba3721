"""`stepscan bench`: run the races, print a table or JSON lines."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from stepscan.benchmarks import scans, sizes, streams
from stepscan.benchmarks.race import Race, Result, limits
from stepscan.errors import SettingsError, nearest
from stepscan.json_text import json_text
from stepscan.machine import cores, processor

__all__ = ["KINDS", "bench"]

KINDS: dict[str, Callable[[int, int], Iterator[Race]]] = {
    "scan": scans.scan_results,
    "step": scans.step_results,
    "sizes": sizes.size_results,
    "stream": streams.stream_results,
    "generate": streams.generate_results,
}


def bench(kind: str, *, threads: int | None = None, rounds: int = 11, only: str = "", as_json: bool = False) -> None:
    """Race our kernels against PyTorch's and ONNX Runtime's on this machine and print what came.

    Args:
        kind: `scan`, `step`, `sizes`, `stream` or `generate`.
        threads: of torch and of the kernels; by default torch's own choice.
        rounds: how often each rival has its turn.
        only: lines whose name holds this.
        as_json: a JSON object a line: first the machine, then each result.
    """
    if kind not in KINDS:
        raise SettingsError(f"there is no benchmark {kind!r}.{nearest(kind, KINDS)}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        machine = _machine(torch.get_num_threads())
        races = (race for race in KINDS[kind](torch.get_num_threads(), rounds) if only in race.name)
        if (first := next(races, None)) is None:
            raise SettingsError(f"no line of {kind} has {only!r} in its name; without --only all are shown")
        results = (race.run() for race in chain([first], races))
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
        **limits(threads),
    }


def _print(machine: dict[str, Any], results: list[Result]) -> None:
    console = Console(width=150, soft_wrap=True)
    rivals = list(dict.fromkeys(name for result in results for name in result.ratios))
    table = Table("", "ours", *(f"{rival} ÷ ours" for rival in rivals), "GF/s", "of peak")
    for result in results:
        scale = {"ms": 1e3, "µs": 1e6}[result.unit] / result.per_call
        peak = machine.get("peak_gflops", 0) * 1e9
        shares = [f"{result.speed / 1e9:.0f}", f"{result.speed / peak:.0%}" if peak else ""]
        table.add_row(
            result.name,
            f"{result.seconds['stepscan'] * scale:.3g} {result.unit}",
            *(f"{result.ratios[rival]:.2f}" if rival in result.ratios else "" for rival in rivals),
            *(shares if result.operations else ["", ""]),
        )
    console.print(table)
    for name, value in machine.items():
        console.print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}", highlight=False)
