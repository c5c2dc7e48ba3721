"""Streams of several sessions, advanced together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Array, Batch
from stepscan.backends.native_arrays import address
from stepscan.kernels.native import library
from stepscan.models.sessions.session import raise_overflow


def advance_streams(model: Any, streams: Sequence[Any], vectors: Batch) -> list[Array]:
    """Advance each stream by its row of vectors, with the bits of each alone.

    Args:
        model: the runtime model of the streams.
        streams: N streams of the native library, modified in place.
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
        if (failed := library.push_many(chosen, address(x), address(y), model.threads)) >= 0:
            raise_overflow(f"item {rows[failed] + 1}: ")
        outputs[rows, t] = y
    return [row[:length] for row, length in zip(outputs, lengths.tolist(), strict=True)]
