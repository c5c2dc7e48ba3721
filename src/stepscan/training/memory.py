"""Whether a training fits into memory, estimated before it starts. Too little is told at once, not after an hour."""

from __future__ import annotations

from torch import nn

from stepscan.errors import SettingsError
from stepscan.hardware import available_memory
from stepscan.memory import in_words

_A_WEIGHT = 8  # numbers: itself, its gradient, AdamW's two moments, and the best of them so far


def check_memory(model: nn.Module, places: int = 0) -> None:
    """Raise if the weights, and one output of each matrix at each of `places` items of a batch, cannot fit.

    It is a lower bound: what passes may still be too much. The model may be on the meta device.

    Raises:
        SettingsError: says how much is needed for what, and how much there is.
    """
    available = available_memory()
    if available is None:
        return
    embedded = {id(weight) for part in model.modules() for weight in _looked_up(part)}
    weights = sum(p.numel() for p in model.parameters())
    rows = sum(p.shape[0] for p in model.parameters() if p.dim() == 2 and id(p) not in embedded)
    of_weights, of_batch = 4 * _A_WEIGHT * weights, 4 * places * rows
    if of_weights > available:
        raise SettingsError(
            f"the model would have {weights:,} weights; with gradients and AdamW's moments they take "
            f"{in_words(of_weights)}, but only {in_words(available)} of memory are free: take a smaller hidden_size, "
            "vocabulary_size or embedding_size, or fewer layers"
        )
    if of_weights + of_batch > available:
        raise SettingsError(
            f"the largest batch has {places:,} places, padding included, whose outputs alone take "
            f"{in_words(of_batch)}, but only {in_words(available - of_weights)} of memory are free beside the "
            "weights: take a smaller batch_size (and accumulate batches), or part the longest sequences"
        )


def _looked_up(part: nn.Module) -> list[nn.Parameter]:
    """Matrices whose rows are looked up, not multiplied."""
    return list(part.parameters(recurse=False)) if "Embedding" in type(part).__name__ else []
