"""Linear recurrences over long sequences: cells as programs beside what people write for them in PyTorch.

    python benchmarks/long_programs.py [--steps 4096] [--rows 8] [--size 512] [--rounds 3] [--threads 1]

minGRU and RG-LRU, forward and backward with all gradients, gates' products included; the rivals compute the gates of
all items at once, and h_t = a_t h_{t−1} + b_t by a loop, by doubling (Hillis & Steele 1986), or in logarithms (which
needs positive numbers: b is replaced by its absolute value). Last, a cell that is that line and nothing else: bytes a
second, as a share of those of copying into fresh memory.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import stepscan as ss
from programs import clock_of, race, show

Pair = tuple[Tensor, Tensor]


@ss.register("linear_recurrence")
class LinearRecurrence(ss.Recurrence):
    """h_t = a_t h_{t−1} + b_t, where x_t is a_t and b_t."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size

    def initial_state(self, batch_size: int, *, device: Any = None, dtype: Any = None) -> Tensor:
        return self.zeros(batch_size, self.output_size, device, dtype)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, dim=1)
        h = a * state + b
        return h, h


def gates_of_mingru(cell: Any, x: Tensor) -> Pair:
    """a and b `[B, T, H]` of `stepscan.cells.mingru`."""
    z, n = F.linear(x, cell.weight_ih, cell.bias).chunk(2, dim=2)
    z = torch.sigmoid(z)
    return 1 - z, z * n


def gates_of_rglru(cell: Any, x: Tensor) -> Pair:
    """a and b `[B, T, H]` of `stepscan.cells.rglru`, if I = H."""
    blocks = x.unflatten(2, (cell.blocks, -1))
    r, i = (torch.einsum("btni,noi->btno", blocks, weight).flatten(2) for weight in cell.gate_weights)
    b_r, b_i = cell.gate_bias.chunk(2)
    log_a = -8 * F.softplus(cell.rate) * torch.sigmoid(r + b_r)
    scale = torch.sqrt(torch.clamp(-torch.expm1(2 * log_a), min=1e-12))
    return torch.exp(log_a), scale * torch.sigmoid(i + b_i) * x


def by_loop(a: Tensor, b: Tensor) -> Tensor:
    """One step after the other."""
    h, outputs = torch.zeros_like(a[:, 0]), []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        outputs.append(h)
    return torch.stack(outputs, dim=1)


def by_doubling(a: Tensor, b: Tensor) -> Tensor:
    """log₂ T passes over all items."""
    span = 1
    while span < a.shape[1]:
        before_a, before_b = (F.pad(v[:, :-span], (0, 0, span, 0), value=fill) for v, fill in ((a, 1.0), (b, 0.0)))
        a, b = a * before_a, a * before_b + b
        span *= 2
    return b


def in_logarithms(a: Tensor, b: Tensor) -> Tensor:
    """Sums of exponentials."""
    log_a = torch.cumsum(a.log(), dim=1)
    return torch.exp(log_a + torch.logcumsumexp(b.abs().clamp(min=1e-30).log() - log_a, dim=1))


def scanned(scan: Callable[..., Tensor], gates: Callable[..., Any], cell: ss.Recurrence, x: Tensor) -> Tensor:
    return scan(*gates(cell, x))


def gradients(scan: Callable[[], Tensor], sources: list[Tensor]) -> Callable[[], Any]:
    """Forward and backward."""
    return lambda: torch.autograd.grad((y := scan()), sources, torch.ones_like(y))


def bandwidth(rows: int, steps: int, size: int, rounds: int) -> None:
    """Bytes a second of `LinearRecurrence`, beside copying into fresh memory, which its results take too."""
    cell, x = LinearRecurrence(2 * size, size), torch.rand(rows, steps, 2 * size, requires_grad=True)
    inputs = ss.Sequences(x, [steps] * rows)
    dy = torch.ones(rows, steps, size)
    floats = rows * steps * size
    times: dict[str, list[float]] = {"copy": [], "forward": [], "backward": []}
    for _ in range(2 * rounds + 1):
        begun = time.perf_counter()
        x.detach().clone()
        times["copy"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        y = cell.scan(inputs)[0].data
        times["forward"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        torch.autograd.grad(y, [x], dy)
        times["backward"].append(time.perf_counter() - begun)
    # read a and b, write h; read a, b, h and dy, write the gradients of a and b
    moved = {"copy": 4 * floats, "forward": 3 * floats, "backward": 6 * floats}
    speed = {name: 4 * moved[name] / statistics.median(times[name]) / 1e9 for name in times}
    shares = "  ".join(f"{name} {value:.1f} GB/s ({value / speed['copy']:.0%})" for name, value in speed.items())
    print(f"{'without products':28} {shares}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("steps", 4096), ("rows", 8), ("size", 512), ("rounds", 3), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(given.threads)
    for cell, gates in (
        (ss.MinGRU(given.size, given.size), gates_of_mingru),
        (ss.RGLRU(given.size, given.size), gates_of_rglru),
    ):
        x = torch.randn(given.rows, given.steps, given.size, requires_grad=True)
        inputs, sources = ss.Sequences(x, [given.steps] * given.rows), [x, *cell.parameters()]
        with torch.no_grad():
            torch.testing.assert_close(by_loop(*gates(cell, x)), cell.scan(inputs)[0].data, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(by_doubling(*gates(cell, x)), cell.scan(inputs)[0].data, atol=1e-4, rtol=1e-4)
        runs = {"program": gradients(lambda: cell.scan(inputs)[0].data, sources)}  # noqa: B023
        for scan in (by_loop, by_doubling, in_logarithms):
            runs[scan.__name__] = gradients(functools.partial(scanned, scan, gates, cell, x), sources)
        found = race(runs, given.rounds, clock_of(given.threads))
        show(f"{type(cell).__name__} {given.size}, T = {given.steps}", found)
    bandwidth(given.rows, given.steps, given.size, given.rounds)


if __name__ == "__main__":
    main()
