"""Text in, text out. All four are imported together, so that whichever is asked to load knows the others."""

from stepscan.estimators.classifier import Classifier
from stepscan.estimators.language_model import LanguageModel
from stepscan.estimators.tagger import Tagger
from stepscan.estimators.translator import Translator

__all__ = ["Classifier", "LanguageModel", "Tagger", "Translator"]
