"""Pieces of numeric series as inputs of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stepscan.backends.batches import Batch, pad_numbers
from stepscan.data.series.checks import checked_series, raise_not_finite


def series_vectors(model: Any, pieces: Sequence[Any], what: str) -> Batch:
    """The layers' inputs `[N, T, E]` for pieces `[T, D]` of series, which may be empty; messages call one `what`.

    Raises:
        SettingsError: a piece is not a series of the model's dimensions, or has values that are not finite.
    """
    embedding = model.network_.embedding
    empty = np.zeros((0, embedding.size))
    pieces = [empty if np.shape(piece) in ((0,), empty.shape) else piece for piece in pieces]
    checked = checked_series(pieces, embedding.size, what)
    batch = pad_numbers(checked)
    standardised = Batch(embedding.standardised(batch.data), batch.lengths).zeroed()
    if not np.isfinite(standardised.data).all():
        index, step, dimension = np.argwhere(~np.isfinite(standardised.data))[0].tolist()
        raise_not_finite(f"{what} {index + 1}", checked[index], step, dimension)
    return Batch(embedding.projected(standardised.data), batch.lengths)
