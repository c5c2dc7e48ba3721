"""How much a training computes, so that a budget is the same on every machine."""

from __future__ import annotations

from torch import nn

from stepscan.patterns.generator import Generator


def operations(model: nn.Module, items: float) -> float:
    """Floating-point operations of forward and backward over so many items: six for each weight of a matrix and item
    (Kaplan et al. 2020, §2.1)."""
    return 6.0 * items * sum(_multiplied(part, items) for part in model.modules())


def _multiplied(part: nn.Module, items: float) -> float:
    """Numbers in matrices, but for those whose rows are looked up only; an output layer may share these, and may leave
    out some of its rows."""
    if isinstance(part, Generator):
        own = part.embedding.weight.numel() if part.tie_weights else 0.0
        if part.samples is None:
            return own
        width = part.embedding.output_size if part.tie_weights else part.layer.output_size
        return own + (part.samples.expected(items) - part.embedding.vocabulary_size) * width
    if "Embedding" in type(part).__name__:
        return 0.0
    return sum(parameter.numel() for parameter in part.parameters(recurse=False) if parameter.dim() == 2)
