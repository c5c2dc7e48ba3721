"""Floating-point operations of a training: a budget that is the same on every machine."""

from __future__ import annotations

from torch import nn

from stepscan.patterns.generator import Generator
from stepscan.training.memory import is_lookup


def training_flops(model: nn.Module, items: float) -> float:
    """Floating-point operations of forward and backward passes over a number of items: six per matrix weight and item
    (Kaplan et al. 2020, §2.1)."""
    return 6.0 * items * sum(_multiplied_weights(module, items) for module in model.modules())


def _multiplied_weights(module: nn.Module, items: float) -> float:
    """Weights of a module's own matrices, those of heads among them, that multiply each item.

    Rows of embeddings are looked up, not multiplied, unless the output layer shares them; a sampled softmax multiplies
    only some rows of the output layer.
    """
    if isinstance(module, Generator):
        weights = module.embedding.weight.numel() if module.tie_weights else 0.0
        if module.samples is None:
            return weights
        width = module.embedding.output_size if module.tie_weights else module.layer.output_size
        return weights + (module.samples.expected(items) - module.embedding.vocabulary_size) * width
    if is_lookup(module):
        return 0.0
    return sum(parameter.numel() for parameter in module.parameters(recurse=False) if parameter.dim() >= 2)
