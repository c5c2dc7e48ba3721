"""Attention maps: where a translator looks while it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:  # training watches gradients, and estimators train: at run time they come after this package
    from stepscan.estimators.translator import Translator


class Attention(NamedTuple):
    source: list[str]  # S symbols
    target: list[str]  # T symbols
    weights: np.ndarray  # [T, S], each row adds up to 1


def attention(translator: Translator, source: str, target: str | None = None) -> Attention:
    """Where the decoder looks while it writes `target`, or its own best translation (Bahdanau et al. 2015, fig. 3).

    Raises:
        SettingsError: the model has no attention.
        TypeError: `translator` is no Translator.
    """
    from stepscan.estimators.translator import Translator

    if not isinstance(translator, Translator):
        raise TypeError(f"an attention map is of a stepscan.Translator, got {type(translator).__name__}")
    written = translator.predict([source])[0] if target is None else target
    return Attention(*translator.attention_weights(source, written))
