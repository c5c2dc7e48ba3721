"""Sessions: sequences that are read in pieces of any size, thousands of them in one batch.

A session's outputs are those for the whole sequence at once, to the bit, whatever the pieces; `step_batch` gives each
session the outputs that it would have alone.
"""

from __future__ import annotations

from typing import Any

from stepscan.errors import SettingsError
from stepscan.runtime.sessions.classifier import ClassifierSession
from stepscan.runtime.sessions.generation import GenerationSession
from stepscan.runtime.sessions.session import Session, step_batch
from stepscan.runtime.sessions.tagger import TaggerSession

__all__ = ["ClassifierSession", "GenerationSession", "Session", "TaggerSession", "session", "step_batch"]

_CLASSES: dict[str, type[Session]] = {
    "tag": TaggerSession,
    "classify": ClassifierSession,
    "generate": GenerationSession,
}


def session(model: Any) -> Any:
    """A new session of a runtime model.

    Raises:
        SettingsError: the model is not causal, has a CRF, or is a translator.
    """
    if model.task not in _CLASSES:
        raise SettingsError("expected a causal model, got a translator, which reads a whole text first; use translate")
    return _CLASSES[model.task](model)
