"""Gradients that can be differentiated again, by the equations in PyTorch of what a kernel computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["equation_gradients"]


def equation_gradients(
    equations: Callable[..., Sequence[Tensor]],
    inputs: Sequence[Tensor | None],
    gradients: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of the inputs, None where not `needed`.

    Args:
        equations: the kernel's results, of its inputs.
        inputs: those of the kernel. They are taken as views, so that where one was made of another (a state, of the
            same items) that path does not count here: autograd follows it outside.
        gradients: of the results; None for zero.
        needed: for each input, whether its gradient is.
    """
    views = [t if t is None or not need else t.view_as(t) for t, need in zip(inputs, needed, strict=True)]
    results = zip(equations(*views), gradients, strict=True)
    pairs = [(y, g) for y, g in results if g is not None and y.requires_grad]
    sources = [t for t, need in zip(views, needed, strict=True) if need and t is not None]
    ys, gs = [y for y, _ in pairs], [g for _, g in pairs]
    found = iter(torch.autograd.grad(ys, sources, gs, create_graph=True, allow_unused=True))
    return [next(found) if need else None for need in needed]
