"""`stepscan.load`: reads a model folder into the estimator of its task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stepscan.estimators.base import Estimator


def load(path: str | Path) -> Any:
    """Read a model folder: a `Classifier`, `Tagger`, `LanguageModel`, `Forecaster` or `Translator`.

    Raises:
        ModelFormatError: the folder is not a model folder, or one of its files is missing, broken or of another
            version.
    """
    return Estimator.load(path)
