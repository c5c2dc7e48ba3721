"""`stepscan.load`: whichever estimator a model folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stepscan.estimators.base import Estimator


def load(path: str | Path) -> Any:
    """Whichever of `Classifier`, `Tagger`, `LanguageModel`, `Forecaster`, `Translator` a model folder holds.

    Raises:
        ModelFormatError: the folder is none, or one of its files is missing, broken or of another version.
    """
    return Estimator.load(path)
