"""The estimators, one per task. All five are imported together, so that each can load the folders of the others."""

from stepscan.estimators.classifier import Classifier
from stepscan.estimators.forecaster import Forecaster
from stepscan.estimators.language_model import LanguageModel
from stepscan.estimators.tagger import Tagger
from stepscan.estimators.translator import Translator

__all__ = ["Classifier", "Forecaster", "LanguageModel", "Tagger", "Translator"]
