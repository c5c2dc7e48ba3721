"""`stepscan.load`: whichever estimator a model folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stepscan.estimators.base import Estimator
from stepscan.estimators.classifier import Classifier  # noqa: F401  # enters itself
from stepscan.estimators.forecaster import Forecaster  # noqa: F401  # enters itself
from stepscan.estimators.language_model import LanguageModel  # noqa: F401  # enters itself
from stepscan.estimators.tagger import Tagger  # noqa: F401  # enters itself
from stepscan.estimators.translator import Translator  # noqa: F401  # enters itself


def load(path: str | Path) -> Any:
    """Whichever of `Classifier`, `Tagger`, `LanguageModel`, `Forecaster`, `Translator` a model folder holds.

    Raises:
        ModelFormatError: the folder is none, or one of its files is missing, broken or of another version.
    """
    return Estimator.load(path)
