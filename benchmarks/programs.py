"""Cells as programs beside the loop in PyTorch, and beside other engines.

    python benchmarks/programs.py loop [--sizes 64 128 256] [--threads 1] [--rounds 11]
    python benchmarks/programs.py peers [--sizes 64 128 256] [--cells leaky gru ...] [--no-compile]

`peers` is for torch.compile of the loop over `step`, whose compilation is long, and for JAX (`pip install jax`; without
it, a line says so). They run on one core, XLA's threads included, and times are the whole process' processor time.

All by turns in one run: medians, and the median of each round's ratio. With one thread, times are that thread's own
processor time, which other work on the machine does not add to.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import program_peers
import torch

import stepscan as ss
from stepscan.cells.catalogue import cell_classes

Runs = dict[str, Callable[[], Any]]


def race(runs: Runs, rounds: int, clock: Callable[[], float], inner: int = 1) -> dict[str, tuple[float, float]]:
    """Seconds of each by this clock, and the median of its ratios to the first. A run that is not timed precedes each
    that is, so that the memory which it finds is its own, as in a training, and not what a rival has left."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            begun = clock()
            for _ in range(inner):
                run()
            times[name].append((clock() - begun) / inner)
    first = next(iter(times.values()))
    return {
        name: (statistics.median(t), statistics.median(a / b for a, b in zip(t, first, strict=True)))
        for name, t in times.items()
    }


def clock_of(threads: int) -> Callable[[], float]:
    """The clock for this number of threads."""
    return time.thread_time if threads == 1 else time.perf_counter


def show(name: str, found: dict[str, tuple[float, float]], scale: float = 1e3, unit: str = "ms") -> None:
    """One line of the results."""
    parts = [f"{key} {seconds * scale:8.2f} {unit} (x{ratio:.3f})" for key, (seconds, ratio) in found.items()]
    print(f"{name:28}", "  ".join(parts), flush=True)


def ragged(size: int, rows: int = 32, steps: int = 60) -> ss.Sequences:
    """Random rows of 2 to 60 items."""
    lengths = torch.randint(2, steps + 1, (rows,))
    return ss.Sequences(torch.randn(rows, steps, size, requires_grad=True), lengths)


def both_ways(scan: Callable[[], Any], cell: Any, inputs: ss.Sequences) -> Callable[[], Any]:
    """Forward, and backward with all gradients."""
    weights = [inputs.data, *cell.parameters()]
    dy = torch.randn(*inputs.data.shape[:2], cell.output_size)

    def run() -> None:
        outputs, _ = scan()
        torch.autograd.grad(outputs.data, weights, dy, allow_unused=True)

    return run


def loop(sizes: list[int], rounds: int, threads: int) -> None:
    """Cells in PyTorch's loop and as programs, forward and backward."""
    for name, cls in cell_classes().items():
        if "transformer" in name:
            continue
        for size in sizes:
            cell, inputs = cls(size, size), ragged(size)

            def eager() -> Any:
                with ss.kernels.use("reference"):
                    return cell.scan(inputs)  # noqa: B023

            runs = {
                "program": both_ways(lambda: cell.scan(inputs), cell, inputs),  # noqa: B023
                "loop": both_ways(eager, cell, inputs),
            }
            show(f"{name} {size}, both", race(runs, rounds, clock_of(threads)))


def peers(names: list[str], sizes: list[int], rounds: int, compiles: bool) -> None:
    """Cells as programs beside the eager loop, torch.compile of it, and JAX; outputs and gradients are compared."""
    for name in names:
        for size in sizes:
            cell = program_peers.Leaky(size, size) if name == "leaky" else cell_classes()[name](size, size)
            inputs = ragged(size)
            case = program_peers.Case(cell, inputs, torch.randn(len(inputs), inputs.steps, size))
            runs, first = program_peers.all_of(name, case, compiles)
            show(f"{name} {size}, both", race(runs, rounds, time.process_time))
            if first:
                seconds = ", ".join(f"{key} {value:.1f} s" for key, value in first.items())
                print(f"{'':28} first run, processor time: {seconds}", flush=True)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("loop", "peers"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--cells", nargs="+", default=program_peers.CELLS, help="of peers")
    parser.add_argument("--no-compile", dest="compiles", action="store_false", help="of peers, without torch.compile")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    if arguments.what == "peers":
        program_peers.one_core()
        torch.set_num_threads(1)
        peers(arguments.cells, arguments.sizes, arguments.rounds, arguments.compiles)
    else:
        loop(arguments.sizes, arguments.rounds, arguments.threads)


if __name__ == "__main__":
    main()
