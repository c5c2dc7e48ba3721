"""Sessions: one sequence each that is going on, pushed item by item or in pieces of any size, thousands at a time.

A session's answers are those of the whole sequence at once, to the bit, whatever the pieces; `step_many` gives each
session what it would have been given alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np

from stepscan.errors import SettingsError
from stepscan.kernels.native import library
from stepscan.runtime.batches import Array, Batch
from stepscan.runtime.examples import listed
from stepscan.runtime.layers import address
from stepscan.runtime.sessions.deciding import DecidingSession
from stepscan.runtime.sessions.session import Moment, Session, overflowed
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

    Either all sessions read their item, or, where one is refused, none does. An item is whole: it does not join with
    text before or after it, as pieces of text do.

    Args:
        sessions: each once.
        items: a token, a symbol, a word or a step `[D]` for each.

    Raises:
        SettingsError: there are not as many items as sessions, a session is there twice or is of another model, or an
            item is more or less than one, or not finite numbers.
    """
    sessions, items = listed(sessions), listed(items)
    _check_sessions(model, sessions, len(items))
    if not sessions:
        return []
    kind, network = type(sessions[0]), model.network_
    x = _one_each(kind._vectors(model, [_as_piece(model, item) for item in items], "item"), items)
    outputs = np.empty((len(x), network.layer.output_size), np.float32)
    with library.SessionLocks([one._owner for one in sessions]):
        before, streams = [one._ahead(one._now) for one in sessions], [one._spare for one in sessions]
        for stream, moment in zip(streams, before, strict=True):
            stream.copy(moment.stream)
        if (place := library.push_many(streams, address(x), address(outputs), model.threads)) >= 0:
            overflowed(f"item {place + 1}: ")
        after = [
            Moment(stream, one._keep(moment.kept, output[None]))
            for one, stream, moment, output in zip(sessions, streams, before, outputs, strict=True)
        ]
        answers = kind._answers(model, after, outputs)
        deque(map(setattr, sessions, repeat("_now"), after), maxlen=0)  # in one step, which no signal divides
    return answers


def _check_sessions(model: Any, sessions: Sequence[Any], items: int) -> None:
    if items != len(sessions) or len(set(map(id, sessions))) != len(sessions):
        raise SettingsError(f"expected an item for each session, each session once, got {items} and {len(sessions)}")
    for number, one in enumerate(sessions, start=1):
        if not isinstance(one, Session):
            raise SettingsError(f"session {number}: expected a session of this model, got {one!r}")
        if one._model is not model:
            raise SettingsError(f"session {number} is of another model; step those of each model by themselves")


def _as_piece(model: Any, item: Any) -> Any:
    """One item as a piece of a sequence: a step `[D]` as `[1, D]`; a text is one already."""
    if model.tokenizers_:
        return item
    return np.atleast_1d(item)[None] if np.ndim(item) < 2 else item


def _one_each(vectors: Batch, items: Sequence[Any]) -> Array:
    """What the layers read of each item `[n, E]`, each of which must be one."""
    wrong = np.flatnonzero(vectors.lengths != 1)
    if len(wrong):
        place = int(wrong[0])
        raise SettingsError(
            f"step_many takes one item for each session, but item {place + 1}, {items[place]!r:.60}, is "
            f"{vectors.lengths[place]} items; use push for it"
        )
    return np.ascontiguousarray(vectors.data[:, 0], np.float32)
