"""Cells as programs beside the kernels written by hand, and beside the loop in PyTorch.

    python benchmarks/programs.py hand [--threads 1] [--sizes 128 256 512] [--rounds 21]
    python benchmarks/programs.py step
    python benchmarks/programs.py loop [--sizes 64 128 256]
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
from stepscan.kernels import programs
from stepscan.kernels.scans import ScanRun

HAND = ("elman", "gru", "lstm", "layer_norm_lstm")
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


def without_gradients(scan: Callable[[], Any]) -> Callable[[], Any]:
    """Forward in inference."""

    def run() -> None:
        with torch.no_grad():
            scan()

    return run


def kernels_alone(run: Any, inputs: ss.Sequences, flat: list[torch.Tensor], leaves: int) -> Runs:
    """Inference, and forward and backward, without autograd."""
    x, dy = inputs.data.detach(), torch.randn(*inputs.data.shape[:2], flat[0].shape[1])

    def both() -> None:
        y, _, saved = run.forward(x, flat, save=True)
        run.backward(saved, x, y, flat, [dy, *[None] * leaves], [True] * (1 + len(flat)))

    return {"inference": lambda: run.forward(x, flat, save=False), "both": both}


def hand(sizes: list[int], rounds: int, threads: int) -> None:
    """Scans by hand and as programs."""
    for name in HAND:
        for size in sizes:
            cell, inputs = cell_classes()[name](size, size), ragged(size)
            start = list(cell.initial_state(len(inputs)))
            by_hand = ScanRun(inputs.lengths, inputs.steps, [(cell, False)])
            first = kernels_alone(by_hand, inputs, [*start, *cell.kernel_weights], len(start))
            run = programs.prepare(cell, inputs.lengths)
            second = kernels_alone(run, inputs, [*start, *(w.detach() for w in run.weights())], len(start))
            for kind in first:
                found = race({"hand": first[kind], "program": second[kind]}, rounds, clock_of(threads))
                show(f"{name} {size}, {kind}, {threads} thr.", found)


def step(sizes: list[int], rounds: int) -> None:
    """Sequences of one row: microseconds a step."""
    for name in HAND:
        for size in sizes:
            cell, steps = cell_classes()[name](size, size), 200
            inputs = ss.Sequences(torch.randn(1, steps, size), torch.tensor([steps]))
            start = cell.initial_state(1)
            runs: Runs = {
                "hand": without_gradients(lambda: cell.scan(inputs, start)),  # noqa: B023
                "program": without_gradients(lambda: programs.scan(cell, inputs, start)),  # noqa: B023
            }
            show(f"{name} {size}, a step of a row", race(runs, rounds, time.thread_time), 1e6 / steps, "us")


def loop(sizes: list[int], rounds: int, threads: int) -> None:
    """Step cells in PyTorch's loop and as programs, forward and backward."""
    for name, cls in cell_classes().items():
        if name in HAND or "transformer" in name:
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
    parser.add_argument("what", choices=("hand", "step", "loop", "peers"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--cells", nargs="+", default=program_peers.CELLS, help="of peers")
    parser.add_argument("--no-compile", dest="compiles", action="store_false", help="of peers, without torch.compile")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    if arguments.what == "hand":
        hand(arguments.sizes, arguments.rounds, arguments.threads)
    elif arguments.what == "step":
        step(arguments.sizes, arguments.rounds)
    elif arguments.what == "peers":
        program_peers.one_core()
        torch.set_num_threads(1)
        peers(arguments.cells, arguments.sizes, arguments.rounds, arguments.compiles)
    else:
        loop(arguments.sizes, arguments.rounds, arguments.threads)


if __name__ == "__main__":
    main()
