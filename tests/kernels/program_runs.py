"""Programs on the library itself, without the choice of a backend: what the tests of programs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import stepscan as ss
from stepscan.kernels.native import library
from stepscan.programs.derivative import differentiate
from stepscan.programs.lowering import lower
from stepscan.programs.tracing.tracer import trace

LENGTHS = [5, 3, 7, 0, 7, 1, 2, 9]


def addresses(tensors: list[Tensor]) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


@dataclass
class Batch:
    """Ragged random rows, a state to start from, and gradients of all results."""

    x: Tensor
    lengths: Tensor
    state: list[Tensor]
    dy: Tensor
    d_end: list[Tensor]


class NativeProgram:
    """A cell's step, lowered for inference and for training, with its weights."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell
        self.trace = trace(cell)
        self.inference, self.training = lower(self.trace.program), lower(differentiate(self.trace.program))
        programs = [library.Program(list(lowered.numbers)) for lowered in (self.inference, self.training)]
        self.weights = [weight.detach().contiguous() for weight in self.trace.weights(cell)]
        self.packed = [library.ProgramWeights(program, addresses(self.weights)) for program in programs]

    def batch(self, lengths: list[int] = LENGTHS, steps: int | None = None) -> Batch:
        random = torch.Generator().manual_seed(5)
        rows, steps = len(lengths), max(lengths, default=0) + 1 if steps is None else steps
        made = pytree.tree_leaves(self.cell.initial_state(rows))
        state = [(leaf + 0.3 * torch.randn(leaf.shape, generator=random)).flatten(1) for leaf in made]
        x = torch.randn(rows, steps, self.inference.input_size, generator=random)
        dy = torch.randn(rows, steps, self.inference.output_size, generator=random)
        return Batch(x, torch.tensor(lengths), state, dy, [torch.randn(s.shape, generator=random) for s in state])

    def forward(
        self, batch: Batch, trains: bool = False, threads: int = 1, reverse: bool = False
    ) -> tuple[list[Tensor], Any]:
        """Outputs and the leaves of the final state; and what backward needs."""
        y = torch.full_like(batch.dy, float("nan"))
        ends = [torch.full_like(leaf, float("nan")) for leaf in batch.state]
        inputs = batch.x.data_ptr(), batch.lengths.data_ptr(), *batch.x.shape[:2]
        places = [addresses(batch.state)], y.data_ptr(), [addresses(ends)]
        saved = library.program_forward([self.packed[trains]], [reverse], *inputs, *places, trains, threads)
        return [y, *ends], saved

    def backward(self, batch: Batch, saved: Any, y: Tensor, threads: int = 1) -> list[Tensor]:
        """Gradients of x, the state and the program's weights."""
        results = [torch.full_like(tensor, float("nan")) for tensor in (batch.x, *batch.state, *self.weights)]
        d_start, d_weights = results[1 : 1 + len(batch.state)], results[1 + len(batch.state) :]
        items = batch.x.data_ptr(), y.data_ptr(), batch.dy.data_ptr()
        ends = [addresses(batch.d_end)], [addresses(d_start)]
        library.program_backward(saved, *items, *ends, results[0].data_ptr(), [addresses(d_weights)], threads)
        return results

    def expected(self, batch: Batch, reverse: bool = False) -> tuple[list[Tensor], list[Tensor]]:
        """The same from the step itself in float64, by a loop and autograd."""
        wide = lambda tensor: tensor.double().requires_grad_()  # noqa: E731
        x, state, cell = wide(batch.x), [wide(leaf) for leaf in batch.state], self.cell
        names = {name: tensor.double().detach().requires_grad_() for name, tensor in cell.named_parameters()}
        inputs = ss.Sequences(x, batch.lengths)
        _, spec = pytree.tree_flatten(cell.initial_state(1))
        shaped = [leaf.reshape(len(leaf), *shape) for leaf, shape in zip(state, self.trace.leaf_shapes, strict=True)]
        arguments = (inputs.reversed() if reverse else inputs, pytree.tree_unflatten(shaped, spec))
        with ss.kernels.use("reference"):
            y, final = torch.func.functional_call(_Loop(cell), {f"cell.{k}": v for k, v in names.items()}, arguments)
            weights = self.trace.weights_of(names | dict(cell.named_buffers()))
        ends = [end.flatten(1) for end in pytree.tree_leaves(final)]
        results = [(y.reversed() if reverse else y.zeroed()).data, *ends]
        total = sum((r * d.double()).sum() for r, d in zip(results, (batch.dy, *batch.d_end), strict=True))
        sources = [x, *state, *names.values()]
        found = torch.autograd.grad(total, sources, retain_graph=True, allow_unused=True)
        assert len(weights) == len(self.weights)
        return results, [torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=True)]

    def parameter_gradients(self, gradients: list[Tensor]) -> list[Tensor]:
        """Gradients of the cell's parameters, of those of the program's weights."""
        made = [(w, g) for w, g in zip(self.trace.weights(self.cell), gradients, strict=True) if w.requires_grad]
        parameters = list(self.cell.parameters())
        tensors, given = [w for w, _ in made], [g.reshape(w.shape) for w, g in made]
        found = torch.autograd.grad(tensors, parameters, given, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


class _Loop(nn.Module):
    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, inputs: ss.Sequences, state: Any) -> Any:
        return ss.Recurrence.scan(self.cell, inputs, state)


def error(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a part of the largest number or of 1."""
    if not found.numel():
        return 0.0
    return float((found.double() - expected.detach()).abs().max() / (1 + expected.detach().abs().max()))
