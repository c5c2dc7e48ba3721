"""How much a training computes, so that a budget is the same on every machine."""

from __future__ import annotations

from typing import Any

from torch import nn

from stepscan.patterns.generator import Generator


def operations(model: nn.Module, items: float) -> float:
    """Floating-point operations of forward and backward over so many items: six for each weight of a matrix and item
    (Kaplan et al. 2020, §2.1)."""
    return 6.0 * items * sum(p.numel() for part in model.modules() for p in _multiplied(part))


def _multiplied(part: nn.Module) -> list[Any]:
    """Matrices, but for those whose rows are looked up only; an output layer may share these."""
    if isinstance(part, Generator) and part.tied:
        return [part.embedding.weight]
    if "Embedding" in type(part).__name__:
        return []
    return [parameter for parameter in part.parameters(recurse=False) if parameter.dim() == 2]
