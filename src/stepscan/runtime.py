"""Trained models without PyTorch: load a model folder, predict, generate, stream.

    from stepscan import runtime

    model = runtime.load("model")
    model.predict(["not a bad film at all"])

Requires only NumPy, safetensors, tokenizers and the native library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["load"]


def load(path: str | Path, weights: str | None = None, threads: int = 1) -> Any:
    """Load a model folder as this package's `Classifier`, `Tagger`, `LanguageModel`, `Translator` or
    `Forecaster`, with the same results as `stepscan.load`.

    Args:
        path: a folder that `stepscan train`, `save` or `stepscan compress` wrote.
        weights: storage type of the weights in memory: `float32`, `bfloat16` or `int8`; None: that of the folder.
        threads: number of threads per call, at most. One is best for streams.

    Raises:
        ModelFormatError: it is not a model folder, or one of its files is missing, broken or of another version.
        UnsupportedLayer: the model has a layer without a native kernel; `stepscan.load` runs it with PyTorch.
        SettingsError: `weights` is unknown, or `threads` is out of range.
    """
    from stepscan.models.model import load_model

    return load_model(path, weights, threads)
