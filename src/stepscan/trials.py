"""What the laws are tried on: a layer with a random input, and the comparison of two results, gradients included."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stepscan.contract import Layer, Recurrence, keep_old_where_ended, pad_caches
from stepscan.sequences import Sequences
from stepscan.state import State, leaves, map_state, named_leaves

__all__ = ["Case", "Difference", "Trial", "gradient_sources", "gradients_of", "same", "same_states"]

_TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-9}


class Case(NamedTuple):
    """One input to try: a batch with these lengths, padded to `steps`, filled with random numbers from `seed`."""

    lengths: tuple[int, ...]
    steps: int
    seed: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return (
            f"B = {len(self.lengths)}, T = {self.steps}, lengths = {list(self.lengths)}, "
            f"{str(self.dtype).removeprefix('torch.')}, seed {self.seed}"
        )


class Difference(Exception):
    """Raised where two things that must agree do not."""


class Trial:
    """A layer, in the case's dtype and without per-step noise, with random inputs and a state it can be in."""

    def __init__(self, layer: Layer, case: Case, tolerance: float | None = None) -> None:
        self.tolerance = _TOLERANCE[case.dtype] if tolerance is None else tolerance
        self.case, self.random = case, torch.Generator().manual_seed(case.seed)
        self.device = next((p.device for p in layer.parameters()), torch.device("cpu"))
        self.lengths = torch.tensor(case.lengths, dtype=torch.long, device=self.device)
        self.layer = copy.deepcopy(layer).to(case.dtype).eval()
        self.causal = isinstance(layer, Recurrence)
        self.data = self.normal(len(case.lengths), case.steps, layer.input_size)
        self.inputs = Sequences(self.data, self.lengths)
        self.state = self._reachable_state()

    def normal(self, *size: int) -> Tensor:
        return torch.randn(*size, generator=self.random, dtype=self.case.dtype).to(self.device)

    def scan(self, inputs: Sequences, state: State | None) -> tuple[Sequences, State]:
        outputs, final = self.layer.scan(inputs, state)
        width = self.layer.output_size
        if outputs.data.shape != (len(inputs), inputs.steps, width):
            raise Difference(f"outputs have shape {list(outputs.data.shape)}, not [B, T, {width}]")
        return outputs, final

    def scan_data(self, inputs: Sequences, state: State) -> tuple[Tensor, State]:
        outputs, final = self.scan(inputs, state)
        return outputs.zeroed().data, final

    def fold(self, inputs: Sequences, state: State) -> tuple[Tensor, State]:
        """`step` over time, each row up to its own length: what law 1 holds `scan` to."""
        layer: Any = self.layer
        outputs = []
        for t in range(inputs.steps):
            running = t < inputs.lengths
            y, new = layer.step(inputs.data[:, t], state)
            outputs.append(torch.where(running[:, None], y, 0))
            state = keep_old_where_ended(running, new, state)
        empty = inputs.data.new_zeros(len(inputs), 0, layer.output_size)
        return torch.stack(outputs, dim=1) if outputs else empty, state

    def _reachable_state(self) -> State:
        """The state after 0 to 2 random items; the masks in it as in training."""
        lengths = torch.randint(0, 3, (len(self.case.lengths),), generator=self.random)
        prefix = Sequences(self.normal(len(lengths), 2, self.layer.input_size), lengths)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.case.seed)
            self.layer.train()
            state = self.layer.scan(prefix)[1]
            self.layer.eval()
        return state


def same(trial: Trial, what: str, got: Tensor, expected: Tensor) -> None:
    """Raise a `Difference` unless two tensors agree within the trial's tolerance."""
    if got.shape != expected.shape:
        raise Difference(f"{what}: shape {list(got.shape)} instead of {list(expected.shape)}")
    if got.dtype != expected.dtype:
        raise Difference(f"{what}: {got.dtype} instead of {expected.dtype}")
    if not got.is_floating_point():
        if not torch.equal(got, expected):
            raise Difference(f"{what}: {got.tolist()} instead of {expected.tolist()}")
        return
    gap = (got - expected).abs() / expected.abs().clamp(min=1)
    if not bool((gap <= trial.tolerance).all()):  # a NaN is not <= anything
        worst = tuple(int(i) for i in torch.unravel_index(torch.nan_to_num(gap, nan=torch.inf).argmax(), gap.shape))
        raise Difference(f"{what}{list(worst)}: {got[worst]:.6g} instead of {expected[worst]:.6g}")


def same_states(trial: Trial, what: str, got: State, expected: State) -> None:
    pairs = list(named_leaves(got)), list(named_leaves(expected))
    if [name for name, _ in pairs[0]] != [name for name, _ in pairs[1]]:
        raise Difference(f"{what}: leaves {[n for n, _ in pairs[0]]} instead of {[n for n, _ in pairs[1]]}")
    for (name, g), (_, e) in zip(*pairs, strict=True):
        if g.dim() > 2 and e.dim() > 2 and g.shape[1] != e.shape[1]:  # caches of different capacities
            g, e = pad_caches(g, e)
        same(trial, f"{what} {name}".rstrip(), g, e)


def gradients_of(trial: Trial, outputs: Tensor, final: State, sources: list[Tensor]) -> list[Tensor]:
    """Gradients of one fixed random weighting of all outputs and final states."""
    random = torch.Generator().manual_seed(trial.case.seed)
    total = outputs.new_zeros(())
    for leaf in (outputs, *leaves(final)):
        weights = _weights(leaf, random)
        if leaf.is_floating_point() and leaf.requires_grad:
            total = total + (leaf * weights).sum()
    if not total.requires_grad:
        return [torch.zeros_like(source) for source in sources]
    found = torch.autograd.grad(total, sources, allow_unused=True)
    return [torch.zeros_like(s) if f is None else f for s, f in zip(sources, found, strict=True)]


def _weights(leaf: Tensor, random: torch.Generator) -> Tensor:
    """Random numbers in the leaf's shape, the same ones for a cache of another capacity `[B, C, …]`, C up to 64."""
    size = list(leaf.shape)
    if len(size) > 2:
        size[1] = max(64, size[1])
    return (
        torch.randn(size, generator=random, dtype=torch.float64)
        .to(leaf.dtype)
        .to(leaf.device)[tuple(map(slice, leaf.shape))]
    )


def gradient_sources(trial: Trial, data: Tensor, state: State) -> tuple[list[str], list[Tensor], State]:
    """What gradients are taken of: the inputs, the state's floating-point leaves, the parameters."""
    state = map_state(lambda leaf: leaf.detach().clone().requires_grad_(leaf.is_floating_point()), state)
    named = [("gradient of inputs", data)]
    named += [(f"gradient of state {n}".rstrip(), leaf) for n, leaf in named_leaves(state) if leaf.requires_grad]
    named += [(f"gradient of {n}", p) for n, p in trial.layer.named_parameters() if p.requires_grad]
    return [n for n, _ in named], [t for _, t in named], state
