"""Sessions: one sequence each that is going on, pushed item by item or in pieces of any size, thousands at a time.

A session's answers are those of the whole sequence at once, to the bit, whatever the pieces; `step_many` gives each
session what it would have been given alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from stepscan.errors import SettingsError
from stepscan.kernels.native import library
from stepscan.runtime.layers import address
from stepscan.runtime.sessions.deciding import DecidingSession
from stepscan.runtime.sessions.session import Session
from stepscan.runtime.sessions.tagging import TaggingSession
from stepscan.runtime.sessions.writing import WritingSession

__all__ = ["DecidingSession", "Session", "TaggingSession", "WritingSession", "session", "step_many"]

_KINDS: dict[str, type[Session]] = {"tag": TaggingSession, "classify": DecidingSession, "generate": WritingSession}


def session(model: Any) -> Any:
    """A new session of a model.

    Raises:
        SettingsError: the model has none: it translates, or looks at what is still to come.
    """
    if model.task not in _KINDS:
        raise SettingsError("a translator reads a whole text before it writes, so it has no session: use translate")
    return _KINDS[model.task](model)


def step_many(model: Any, sessions: Sequence[Session], items: Sequence[Any]) -> list[Any]:
    """One item for each of several sessions of a model, all in one batch; what each `push` would have returned.

    Args:
        sessions: each once.
        items: a token, a symbol, a word or a step `[D]` for each.

    Raises:
        SettingsError: there are not as many items as sessions, a session is there twice or is of another model, or an
            item is more or less than one.
    """
    if len(items) != len(sessions) or len(set(map(id, sessions))) != len(sessions):
        raise SettingsError(
            f"expected an item for each session, each session once, got {len(items)} and {len(sessions)}"
        )
    if any(one._model is not model for one in sessions):
        raise SettingsError("a session is of another model; step those of each model by themselves")
    if not sessions:
        return []
    kind = type(sessions[0])
    vectors = kind._vectors(model, [_alone(item) for item in items])
    lengths = vectors.shape[1]
    if lengths != 1:
        raise SettingsError(f"step_many takes one item for each session, but one is {lengths} items; use push for it")
    x = np.ascontiguousarray(vectors[:, 0], np.float32)
    outputs = np.empty((len(x), model.network_.layer.output_size), np.float32)
    with ExitStack() as locks:
        for one in sorted(sessions, key=id):
            locks.enter_context(one._lock)
        library.push_many([one._stream for one in sessions], address(x), address(outputs), model.threads)
        for one, output in zip(sessions, outputs, strict=True):
            one._keep(output[None])
        return kind._answers(model, sessions, outputs)


def _alone(item: Any) -> Any:
    """One item as a piece of a sequence: a step `[D]` as `[1, D]`; a text is one already."""
    return np.asarray(item)[None] if isinstance(item, np.ndarray) else item
