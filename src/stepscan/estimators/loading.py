"""`stepscan.load`: whichever estimator a model folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from stepscan.estimators.base import Estimator
from stepscan.estimators.classifier import Classifier
from stepscan.estimators.forecaster import Forecaster
from stepscan.estimators.language_model import LanguageModel
from stepscan.estimators.tagger import Tagger
from stepscan.estimators.translator import Translator

AnyEstimator = Classifier | Forecaster | LanguageModel | Tagger | Translator


def load(path: str | Path) -> AnyEstimator:
    """Whichever of `Classifier`, `Tagger`, `LanguageModel`, `Forecaster`, `Translator` a model folder holds.

    Raises:
        ModelFormatError: the folder is none, or one of its files is missing, broken or of another version.
    """
    return cast(AnyEstimator, Estimator.load(path))
