"""What runs a cell besides this library: torch.compile of the loop over `step`, and JAX, in whose NumPy the steps of
some cells are written here once more. For `programs.py`.

Each makes a scan with all gradients, forward and backward, of the same weights and inputs. What they compute is checked
before it is timed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import stepscan as ss
from stepscan.cells.cell import Cell
from stepscan.kernels import programs
from stepscan.state import map_state

CELLS = ["leaky", "gru", "coupled_lstm", "peephole_lstm", "mingru"]  # those of `jax_cells`
TOLERANCE = 1e-5  # outputs, absolute
GRADIENTS = 1e-4  # relative to the largest element of a gradient, which sums over rows and steps


class Leaky(ss.Recurrence):
    """README's cell of one's own: h_t = 0.9 h_{t−1} + 0.1 tanh(W [x_t ; h_{t−1}] + b)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.output_size = input_size, hidden_size
        self.into = nn.Linear(input_size + hidden_size, hidden_size)

    def initial_state(
        self, batch_size: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        return self.zeros(batch_size, self.output_size, device, dtype)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = 0.9 * h + 0.1 * torch.tanh(self.into(torch.cat([x, h], dim=1)))
        return h, h


class Case(NamedTuple):
    """A cell, its inputs, and the gradient `[B, T, H]` of its outputs."""

    cell: Any
    inputs: ss.Sequences
    dy: Tensor


Run = Callable[[], tuple[Any, list[Any]]]  # → outputs [B, T, H], and gradients of the inputs and of each parameter


def ours(case: Case, scan: Callable[[], Any]) -> Run:
    """A scan of ours, with gradients."""
    weights = [case.inputs.data, *case.cell.parameters()]

    def run() -> tuple[Any, list[Any]]:
        outputs, _ = scan()
        return outputs.data, list(torch.autograd.grad(outputs.data, weights, case.dy))

    return run


def compiled(case: Case) -> tuple[Run, float]:
    """torch.compile of the loop over `step`, for this batch's shape; and the processor time of its first run."""
    cell, inputs, dy = case
    step = cell.equations if isinstance(cell, Cell) else cell.step
    masks = inputs.mask.unbind(1)

    def loop(x: Tensor, state: Any) -> Tensor:
        outputs = []
        for item, live in zip(x.unbind(1), masks, strict=True):
            y, new = step(item, state)
            rows = live[:, None]
            state = _where(rows, new, state)
            outputs.append(torch.where(rows, y, 0.0))
        return torch.stack(outputs, 1)

    torch.compiler.reset()
    scan = torch.compile(loop, fullgraph=True, dynamic=False)
    state = cell.initial_state(len(inputs))
    weights = [inputs.data, *cell.parameters()]

    def run() -> tuple[Any, list[Any]]:
        y = scan(inputs.data, state)
        return y.detach(), list(torch.autograd.grad(y, weights, dy))

    return run, _first(run)


def _first(run: Run) -> float:
    """Run it once: the processor time of this process and its children, such as compilers, in seconds."""
    begun = sum(os.times()[:4])
    run()
    return sum(os.times()[:4]) - begun


def _where(rows: Tensor, new: Any, old: Any) -> Any:
    both = iter([torch.where(rows, a, b) for a, b in zip(_leaves(new), _leaves(old), strict=True)])
    return map_state(lambda _: next(both), old)


def _leaves(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def one_core() -> None:
    """Keep this process, XLA's threads included, on the core that it is on; call it before JAX is imported."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def jax_run(name: str, case: Case, hoisted: bool) -> tuple[Run, float] | None:
    """`jax.lax.scan` of a cell, jitted; and the processor time of its first run. None where JAX is not installed.

    Args:
        name: of a cell in `JAX_CELLS`.
        case: the cell, the inputs and the gradient.
        hoisted: whether the products of the inputs are taken out of the scan, over all steps at once.
    """
    try:
        import jax
    except ModuleNotFoundError:
        return None
    from jax_cells import JAX_CELLS, both_ways

    cell, inputs, dy = case
    weights = {key: jax.numpy.asarray(value.detach().numpy()) for key, value in cell.named_parameters()}
    x, gradient = (jax.numpy.asarray(value.detach().numpy()) for value in (inputs.data, dy))
    lengths = jax.numpy.asarray(inputs.lengths.numpy())
    states = tuple(jax.numpy.asarray(leaf.numpy()) for leaf in _leaves(cell.initial_state(len(inputs))))
    function = jax.jit(both_ways(JAX_CELLS[name], hoisted))

    def run() -> tuple[Any, list[Any]]:
        y, (dx, dweights) = jax.block_until_ready(function(x, weights, gradient, lengths, states))
        return y, [dx, *(dweights[key] for key in weights)]

    return run, _first(run)


def all_of(name: str, case: Case, compiles: bool) -> tuple[dict[str, Run], dict[str, float]]:
    """Every way to run a cell, ours first, checked against ours; and the processor time of each first run in
    seconds, compilation included."""
    cell, inputs, _ = case

    def eager() -> Any:
        with ss.kernels.use("reference"):
            return cell.scan(inputs)

    runs = {"program": ours(case, lambda: programs.scan(cell, inputs, cell.initial_state(len(inputs))))}
    runs["loop"] = ours(case, eager)
    made = {"compile": compiled(case)} if compiles else {}
    for key, hoisted in (("jax", False), ("jax, hoisted", True)):
        if (found := jax_run(name, case, hoisted)) is None:
            print("JAX is not installed: left out (pip install jax)")
            break
        made[key] = found
    runs |= {key: run for key, (run, _) in made.items()}
    expected = runs["program"]()
    for key, run in runs.items():
        check(f"{name}, {key}", expected, run())
    return runs, {key: seconds for key, (_, seconds) in made.items()}


def check(name: str, expected: tuple[Any, list[Any]], found: tuple[Any, list[Any]]) -> None:
    """Compare outputs and gradients of a peer with ours.

    Raises:
        ValueError: they differ.
    """
    pairs = list(zip([expected[0], *expected[1]], [found[0], *found[1]], strict=True))
    for i, (ours, theirs) in enumerate(pairs):
        wanted, got = ours.detach(), theirs.detach() if isinstance(theirs, Tensor) else torch.from_dlpack(theirs)
        gap = float((wanted - got).abs().max())
        bound = TOLERANCE if i == 0 else GRADIENTS * max(1.0, float(wanted.abs().max()))
        if not gap <= bound:
            what = "outputs" if i == 0 else f"gradient {i - 1}"
            raise ValueError(f"{name}: expected {what} within {bound:.1e} of ours, got a difference of {gap:.1e}")
