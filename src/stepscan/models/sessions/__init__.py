"""Sessions: sequences that are read in pieces of any size, thousands of them in one batch.

A session's outputs are those for the whole sequence at once, to the bit, whatever the pieces; `step_batch` gives each
session the outputs that it would have alone, and so does `push_batch`, of pieces of any size.
"""

from __future__ import annotations

from typing import Any

from stepscan.errors import SettingsError, shown
from stepscan.models.sessions.classifier import ClassifierSession
from stepscan.models.sessions.forecast import ForecastSession
from stepscan.models.sessions.generation import GenerationSession
from stepscan.models.sessions.session import Session, push_batch, step_batch
from stepscan.models.sessions.tagger import TaggerSession
from stepscan.models.sessions.translation import TranslationSession

__all__ = [
    "ClassifierSession",
    "ForecastSession",
    "GenerationSession",
    "Session",
    "TaggerSession",
    "TranslationSession",
    "push_batch",
    "session",
    "step_batch",
]

_CLASSES: dict[str, type[Session]] = {
    "tag": TaggerSession,
    "classify": ClassifierSession,
    "generate": GenerationSession,
    "forecast": ForecastSession,
}


def session(model: Any, source: str | None = None) -> Any:
    """A new session of a runtime model.

    Args:
        model: the model.
        source: the text that a translator translates; None for other models.

    Raises:
        SettingsError: the model is not causal, has a CRF, or is an ensemble; a translator is given no
            source, or another model one.
    """
    if model.members_:
        raise SettingsError(f"expected one model, got an ensemble of {len(model.members_)}; use a session of each")
    if model.task == "translate":
        if source is None:
            raise SettingsError("source: expected the text to translate, got none; use model.session(source)")
        return TranslationSession(model, source)
    if source is not None:
        raise SettingsError(
            f"source: expected none for a model of the task {model.task!r}, got {shown(source)}; use model.session()"
        )
    return _CLASSES[model.task](model)
