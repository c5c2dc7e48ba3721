"""Estimates before training starts whether it fits into memory, so that an error comes at once, not after an hour."""

from __future__ import annotations

from torch import nn

from stepscan.errors import SettingsError
from stepscan.hardware import available_memory
from stepscan.memory import format_bytes
from stepscan.patterns.embedding import Embedding

_VALUES_PER_WEIGHT = 8  # weight, gradient and AdamW's two moments, and copies of these at the best evaluation


def check_memory(model: nn.Module, padded_items: int = 0) -> None:
    """Raise if the weights, and the outputs of each matrix for a batch of `padded_items`, cannot fit into memory.

    It is a lower bound: a training that passes may still need too much. The model may be on the meta device.

    Raises:
        SettingsError: says how much is needed for what, and how much there is.
    """
    available = available_memory()
    if available is None:
        return
    tables = {id(p) for module in model.modules() if is_lookup(module) for p in module.parameters(recurse=False)}
    weights = sum(p.numel() for p in model.parameters())
    outputs = sum(p.shape[0] for p in model.parameters() if p.dim() == 2 and id(p) not in tables)
    weight_bytes, batch_bytes = 4 * _VALUES_PER_WEIGHT * weights, 4 * padded_items * outputs
    if weight_bytes > available:
        raise SettingsError(
            f"the model would have {weights:,} weights; with gradients and AdamW's moments they take "
            f"{format_bytes(weight_bytes)}, but only {format_bytes(available)} of memory are free: take a smaller "
            "hidden_size, vocabulary_size or embedding_size, or fewer layers"
        )
    if weight_bytes + batch_bytes > available:
        raise SettingsError(
            f"the largest batch has {padded_items:,} items, padding included, whose outputs alone take "
            f"{format_bytes(batch_bytes)}, but only {format_bytes(available - weight_bytes)} of memory are free after "
            "the weights: take a smaller batch_size (and accumulate batches), or split the longest sequences"
        )


def is_lookup(module: nn.Module) -> bool:
    """Whether the rows of a module's own matrices are looked up by ids, not multiplied."""
    return isinstance(module, Embedding | nn.Embedding | nn.EmbeddingBag)
