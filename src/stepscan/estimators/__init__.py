"""The tasks. All five are imported together, so that whichever is asked to load a folder knows the others."""

from stepscan.estimators.classifier import Classifier
from stepscan.estimators.forecaster import Forecaster
from stepscan.estimators.language_model import LanguageModel
from stepscan.estimators.tagger import Tagger
from stepscan.estimators.translator import Translator

__all__ = ["Classifier", "Forecaster", "LanguageModel", "Tagger", "Translator"]
