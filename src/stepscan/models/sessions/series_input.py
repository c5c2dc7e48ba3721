"""Pieces of numeric series as inputs of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from stepscan.backends.batches import Array, Batch, pad_numbers
from stepscan.data.series.checks import checked_series
from stepscan.errors import SettingsError


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


def raise_not_finite(name: str, piece: Array, step: int, dimension: int) -> NoReturn:
    """Raise a `SettingsError` for the value of a piece `[T, D]` that is not finite after standardisation.

    Args:
        name: of the piece, for the message.
        piece: the values.
        step: index of the value, from 0.
        dimension: index of the value, from 0.
    """
    if np.isfinite(value := piece[step, dimension]):
        shown, advice = f"{value:.3g}", "which is too large for the model: is it in the units of the training data?"
    else:
        shown, advice = str(value).replace("nan", "NaN"), "fill the gaps first: no value is guessed"
    raise SettingsError(
        f"{name}: expected finite numbers, got {shown} at step {step + 1}, dimension {dimension + 1}; {advice}"
    )
