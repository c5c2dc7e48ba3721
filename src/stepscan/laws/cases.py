"""Test cases of the laws: a layer with random inputs, and comparisons of its outputs, states and gradients."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stepscan.backends import tensors
from stepscan.contract import Layer, Recurrence
from stepscan.definitions.layer import keep_old_where_ended, pad_caches
from stepscan.sequences import Sequences
from stepscan.state import State, leaves, map_state, named_leaves

__all__ = [
    "Case",
    "LawContext",
    "Mismatch",
    "assert_close",
    "assert_states_close",
    "case_strategy",
    "differentiable_inputs",
    "weighted_gradients",
]

_TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-9}


class Case(NamedTuple):
    """One input: a batch with these lengths, padded to `steps`, of standard normal values drawn with `seed`."""

    lengths: tuple[int, ...]
    steps: int
    seed: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return (
            f"B = {len(self.lengths)}, T = {self.steps}, lengths = {list(self.lengths)}, "
            f"{str(self.dtype).removeprefix('torch.')}, seed {self.seed}"
        )


def case_strategy(dtypes: list[torch.dtype]) -> Any:
    """Hypothesis' strategy for cases: at most 4 rows of at most 5 steps, in one of these dtypes."""
    from hypothesis import strategies as st

    def padded_to(steps: int) -> Any:
        lengths = st.lists(st.integers(0, steps), max_size=4).map(tuple)
        return st.builds(Case, lengths, st.just(steps), st.integers(0, 99), st.sampled_from(dtypes))

    return st.integers(0, 5).flatmap(padded_to)


class Mismatch(Exception):
    """Two results that must agree do not."""


class LawContext:
    """What a law is checked on: a copy of the layer in evaluation mode, random inputs, and a state that it can reach.

    Args:
        layer: the layer; its copy has the case's dtype.
        case: the batch.
        tolerance: largest difference allowed, relative above magnitude 1; None for the dtype's default.
    """

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
        """Standard normal values of this shape, the next ones of the case's generator."""
        return torch.randn(*size, generator=self.random, dtype=self.case.dtype).to(self.device)

    def scan(self, inputs: Sequences, state: State | None) -> tuple[Sequences, State]:
        """The layer's `scan`.

        Raises:
            Mismatch: the outputs are not `[B, T, output_size]`.
        """
        outputs, final = self.layer.scan(inputs, state)
        width = self.layer.output_size
        if outputs.data.shape != (len(inputs), inputs.steps, width):
            raise Mismatch(f"outputs: expected [B, T, {width}], got {list(outputs.data.shape)}")
        return outputs, final

    def scan_data(self, inputs: Sequences, state: State) -> tuple[Tensor, State]:
        """The layer's `scan`: outputs `[B, T, H]`, zero in the padding, and the final state."""
        outputs, final = self.scan(inputs, state)
        return outputs.zeroed().data, final

    def fold(self, inputs: Sequences, state: State) -> tuple[Tensor, State]:
        """`step` over time, each row up to its own length: outputs `[B, T, H]` and the final state."""
        layer: Any = self.layer
        outputs = []
        for t in range(inputs.steps):
            running = t < inputs.lengths
            y, new = layer.step(inputs.data[:, t], state)
            outputs.append(torch.where(running[:, None], y, 0))
            state = keep_old_where_ended(tensors, running, new, state)
        empty = inputs.data.new_zeros(len(inputs), 0, layer.output_size)
        return torch.stack(outputs, dim=1) if outputs else empty, state

    def _reachable_state(self) -> State:
        """The state after 0 to 2 random items, with dropout masks as in training."""
        lengths = torch.randint(0, 3, (len(self.case.lengths),), generator=self.random)
        prefix = Sequences(self.normal(len(lengths), 2, self.layer.input_size), lengths)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(self.case.seed)
            self.layer.train()
            state = self.layer.scan(prefix)[1]
            self.layer.eval()
        return state


def assert_close(context: LawContext, what: str, got: Tensor, expected: Tensor) -> None:
    """Raise a `Mismatch` unless two tensors agree within the context's tolerance, integers exactly."""
    if got.shape != expected.shape:
        raise Mismatch(f"{what}: expected shape {list(expected.shape)}, got {list(got.shape)}")
    if got.dtype != expected.dtype:
        raise Mismatch(f"{what}: expected {expected.dtype}, got {got.dtype}")
    if not got.is_floating_point():
        if not torch.equal(got, expected):
            raise Mismatch(f"{what}: expected {expected.tolist()}, got {got.tolist()}")
        return
    error = (got - expected).abs() / expected.abs().clamp(min=1)
    if not bool((error <= context.tolerance).all()):  # also false for NaN
        worst = tuple(int(i) for i in torch.unravel_index(torch.nan_to_num(error, nan=torch.inf).argmax(), error.shape))
        raise Mismatch(f"{what}{list(worst)}: expected {expected[worst]:.6g}, got {got[worst]:.6g}")


def assert_states_close(context: LawContext, what: str, got: State, expected: State) -> None:
    """Raise a `Mismatch` unless two states have close leaves; the capacities of caches may differ."""
    got_leaves, expected_leaves = list(named_leaves(got)), list(named_leaves(expected))
    got_names, expected_names = [name for name, _ in got_leaves], [name for name, _ in expected_leaves]
    if got_names != expected_names:
        raise Mismatch(f"{what}: expected the leaves {expected_names}, got {got_names}")
    for (name, g), (_, e) in zip(got_leaves, expected_leaves, strict=True):
        if g.dim() > 2 and e.dim() > 2 and g.shape[1] != e.shape[1]:
            g, e = pad_caches(tensors, g, e)
        assert_close(context, f"{what} {name}".rstrip(), g, e)


def weighted_gradients(context: LawContext, outputs: Tensor, final: State, sources: list[Tensor]) -> list[Tensor]:
    """Gradients of a random weighted sum of all outputs and final states; the weights depend on the case only."""
    random = torch.Generator().manual_seed(context.case.seed)
    total = outputs.new_zeros(())
    for leaf in (outputs, *leaves(final)):
        weights = _weights(leaf, random)
        if leaf.is_floating_point() and leaf.requires_grad:
            total = total + (leaf * weights).sum()
    if not total.requires_grad:
        return [torch.zeros_like(source) for source in sources]
    gradients = torch.autograd.grad(total, sources, allow_unused=True)
    return [torch.zeros_like(s) if g is None else g for s, g in zip(sources, gradients, strict=True)]


def _weights(leaf: Tensor, random: torch.Generator) -> Tensor:
    """Standard normal values in the leaf's shape, the same for a cache `[B, C, …]` of any capacity C up to 64."""
    size = list(leaf.shape)
    if len(size) > 2:
        size[1] = max(64, size[1])
    return (
        torch.randn(size, generator=random, dtype=torch.float64)
        .to(leaf.dtype)
        .to(leaf.device)[tuple(map(slice, leaf.shape))]
    )


def differentiable_inputs(context: LawContext, data: Tensor, state: State) -> tuple[list[str], list[Tensor], State]:
    """Names and tensors of what gradients are computed for (inputs, leaves of the state, parameters), and the state."""
    state = map_state(lambda leaf: leaf.detach().clone().requires_grad_(leaf.is_floating_point()), state)
    named = [("gradient of inputs", data)]
    named += [(f"gradient of state {n}".rstrip(), leaf) for n, leaf in named_leaves(state) if leaf.requires_grad]
    named += [(f"gradient of {n}", p) for n, p in context.layer.named_parameters() if p.requires_grad]
    return [n for n, _ in named], [t for _, t in named], state
