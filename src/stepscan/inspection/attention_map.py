"""Attention maps: which source symbols a translator attends to while it writes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stepscan.inspection.trained_model import TrainedTranslator, is_estimator


class AttentionMap(NamedTuple):
    """The attention weights of one translation."""

    source: list[str]  # S symbols
    target: list[str]  # T symbols
    weights: np.ndarray  # [T, S], each row sums to 1


def attention_map(translator: TrainedTranslator, source: str, target: str | None = None) -> AttentionMap:
    """The attention weights while the decoder writes a translation (Bahdanau et al. 2015, fig. 3).

    Args:
        translator: a trained `stepscan.Translator` with attention.
        source: the text to translate.
        target: its translation; None for the model's own.

    Raises:
        SettingsError: the model has no attention.
        TypeError: `translator` is not a Translator.
    """
    if not is_estimator(translator, "translate"):
        raise TypeError(f"expected a stepscan.Translator, got {type(translator).__name__}")
    written = translator.predict([source])[0] if target is None else target
    return AttentionMap(*translator.attention_weights(source, written))
