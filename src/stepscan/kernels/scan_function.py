"""Native scans in autograd's graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd import Function

from stepscan.kernels.equation_gradients import equation_gradients

Gradients = Sequence[Tensor | None]


class Scan(Protocol):
    """A scan of native kernels over inputs x `[B, T, I]` and `flat`, the leaves of states and the weights."""

    def forward(self, x: Tensor, flat: Any, save: bool) -> tuple[Tensor, list[Tensor], Any]:
        """Outputs, final states' leaves, and what backward needs."""

    def backward(
        self, saved: Any, x: Tensor, y: Tensor, flat: Any, gradients: Gradients, needed: Sequence[bool]
    ) -> list[Tensor | None]:
        """The gradients of x and of `flat`, None where not `needed`."""

    def equations(self, x: Tensor, *flat: Any) -> list[Tensor]:
        """Outputs and final states' leaves, in PyTorch."""


class ScanFunction(Function):
    """`ScanFunction.apply(run, x, *flat)`: outputs and final states' leaves of a `Scan`, differentiable twice."""

    @staticmethod
    def forward(ctx: Any, run: Scan, x: Tensor, *flat: Tensor | None) -> tuple[Tensor, ...]:
        y, ends, ctx.saved = run.forward(x, flat, save=True)
        ctx.run = run
        ctx.save_for_backward(x, y, *flat)
        ctx.set_materialize_grads(False)
        return (y, *ends)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x, y, *flat = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        saved = ctx.saved
        if not _keeps_graph():  # what forward kept is needed no more: it need not wait for the graph's end
            ctx.saved = None
        if torch.is_grad_enabled():  # create_graph=True: by the equations, which can be differentiated again
            return None, *equation_gradients(ctx.run.equations, (x, *flat), gradients, needed)
        if saved is None:
            raise RuntimeError("expected retain_graph=True in the first of two backward passes through one graph")
        return None, *ctx.run.backward(saved, x, y, flat, gradients, needed)


# PyTorch's own: `torch.compile` asks it whether buffers may be used again. Without it, the graph counts as kept.
_keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)
