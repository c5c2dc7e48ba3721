"""Trained models without PyTorch: load a model folder, predict, generate, stream.

    from stepscan import runtime

    model = runtime.load("model")
    model.predict(["not a bad film at all"])

Needs NumPy, safetensors, tokenizers and the native library, nothing more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["load"]


def load(path: str | Path, weights: str | None = None, threads: int = 1) -> Any:
    """Whichever of this package's `Classifier`, `Tagger`, `LanguageModel` and `Translator` a model folder holds, with
    the same results as `stepscan.load`.

    Args:
        path: what `stepscan train`, `save` or `stepscan compress` wrote.
        weights: what the weights are kept as in memory: `float32`, `bfloat16` or `int8`; None for what the folder has.
        threads: that work together on one call, at most. One is best for streams.

    Raises:
        ModelFormatError: the folder is none, or one of its files is missing, broken or of another version.
        UnsupportedLayer: the model has a layer without a native kernel; `stepscan.load` runs it with PyTorch.
        SettingsError: there are no such weights, or the number of threads is below 1.
    """
    from stepscan.runtime.model import load_model

    return load_model(path, weights, threads)
