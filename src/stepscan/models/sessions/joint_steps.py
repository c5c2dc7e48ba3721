"""Several sessions of one model, advanced together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.python_layers import push_streams
from stepscan.models.sessions.session import raise_overflow


def advance_streams(model: Any, streams: Sequence[Any], vectors: Batch) -> list[Array]:
    """Advance each stream by its row of vectors, with the bits of each alone.

    Args:
        model: the runtime model of the streams.
        streams: N streams, modified in place.
        vectors: `[N, T, E]`, the layers' inputs.

    Returns:
        The layers' outputs for each stream, `[T_n, H]`.

    Raises:
        SettingsError: a state would not be finite.
    """
    data, lengths = np.ascontiguousarray(vectors.data, np.float32), vectors.lengths
    outputs = np.empty((len(streams), vectors.steps, model.network_.layer.output_size), np.float32)
    for t in range(vectors.steps):
        rows = np.flatnonzero(lengths > t)
        chosen = streams if len(rows) == len(streams) else [streams[row] for row in rows.tolist()]
        x, y = np.ascontiguousarray(data[rows, t]), np.empty((len(rows), outputs.shape[2]), np.float32)
        if (failed := push_streams(chosen, x, y, model.threads)) >= 0:
            raise_overflow(f"item {rows[failed] + 1}: ")
        outputs[rows, t] = y
    return [row[:length] for row, length in zip(outputs, lengths.tolist(), strict=True)]


def read_together(
    sessions: Sequence[Any], before: Sequence[Any], streams: Sequence[Any], vectors: Batch, pending: Sequence[str]
) -> tuple[list[Any], list[Array]]:
    """Several sessions of one model read more.

    Args:
        sessions: N sessions, which are not changed.
        before: their states.
        streams: those that the states after it use.
        vectors: `[N, T, E]`, the layers' inputs.
        pending: the texts that remain pending.

    Returns:
        The states, and the layers' outputs for each session, `[T_n, H]`.
    """
    for stream, state in zip(streams, before, strict=True):
        stream.copy(state.stream)
    outputs = advance_streams(sessions[0]._model, streams, vectors)
    rows = zip(sessions, streams, before, outputs, pending, strict=True)
    return [
        state._replace(stream=stream, accumulators=session._accumulate(state.accumulators, output), pending=rest)
        for session, stream, state, output, rest in rows
    ], outputs


def flush_together(sessions: Sequence[Any], states: list[Any]) -> list[Any]:
    """The states of several sessions of one model after their pending texts, as if nothing followed them."""
    rows = [row for row, state in enumerate(states) if state.pending]
    if not rows:
        return states
    chosen, before = [sessions[row] for row in rows], [states[row] for row in rows]
    vectors = chosen[0]._embed(chosen[0]._model, [state.pending for state in before], "item")
    streams = [session._new_stream() for session in chosen]
    flushed, _ = read_together(chosen, before, streams, vectors, [""] * len(rows))
    after = list(states)
    for row, state in zip(rows, flushed, strict=True):
        after[row] = state
    return after
