"""Checks of numeric series that users pass to a model: T time steps of D dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from stepscan.data.example_checks import as_list
from stepscan.data.series.values import Values
from stepscan.errors import DataError, SettingsError


def are_numbers(items: Iterable[Any]) -> bool:
    """Whether the first item that is not empty is a numeric series, and not a text or a list of tokens.

    Raises:
        SettingsError: it is complex.
    """
    for item in as_list(items):
        if isinstance(item, str):
            return False
        if len(np.shape(item)) and len(item):
            if np.asarray(item).dtype.kind == "c":
                raise SettingsError("Complex data not supported: give real numbers, such as the two parts side by side")
            return np.asarray(item).dtype.kind in "iuf"
    return False


def checked_series(items: Iterable[Any], size: int | None = None, what: str = "series") -> list[Values]:
    """The items as arrays `[T, D]` of float64; `[T]` is one dimension.

    Args:
        items: arrays, or nested lists of numbers; one array `[N, T]` or `[N, T, D]` is N series.
        size: D, if it is known; otherwise that of the first item.
        what: the name of one item, for messages.

    Raises:
        SettingsError: names the first item that is not an array of finite numbers, or has another D.
    """
    series: list[Values] = []
    for number, item in enumerate(as_list(items), start=1):
        values = _check_series(item, f"{what} {number}")
        expected = size if size is not None else series[0].shape[1] if series else values.shape[1]
        if values.shape[1] != expected:
            reference = "the model" if size is not None else f"{what} 1"
            raise SettingsError(
                f"{what} {number}: expected {expected} dimensions per step, as {reference} has, got {values.shape[1]}"
            )
        series.append(values)
    return series


def _check_series(item: Any, name: str) -> Values:
    if hasattr(item, "index") and hasattr(item.index, "asi8"):  # a column or table of pandas under times
        _check_index(item.index, name)
    values = as_numbers(item, name)
    if values.ndim not in (1, 2):
        raise SettingsError(f"{name}: expected the shape [T] or [T, D] of T steps, got {values.shape}")
    values = values[:, None] if values.ndim == 1 else values
    is_finite = np.isfinite(values)
    if not is_finite.all():
        step, dimension = np.argwhere(~is_finite)[0].tolist()
        shown = str(values[step, dimension]).replace("nan", "NaN")
        raise SettingsError(
            f"{name}: expected finite numbers, got {shown} at step {step + 1}, dimension {dimension + 1}; fill the "
            "gaps first: no value is guessed"
        )
    return values


def series_list(X: Any) -> list[Any]:
    """Series as a list: one array `[T]` or `[T, D]`, or a pandas column or table, is one series; `[N, T, D]` and a list
    of series are several."""
    if hasattr(X, "__array__") and np.asarray(X).dtype.kind in "iuf":
        return list(X) if np.ndim(X) == 3 else [X]
    if hasattr(X, "columns"):
        return [X]  # as one, so that columns that are not numeric are an error
    items = as_list(X)
    return [items] if items and isinstance(items[0], int | float | np.number) else items


def check_range(all_series: Sequence[Values], network: Any, what: str = "series", before: int = 0) -> None:
    """Check that series are finite as the layers read them, in float32, after standardisation.

    Args:
        all_series: `[T, D]` each, of finite numbers.
        network: a fitted model's, of any backend.
        what: the name of one series, for messages; a number follows it where there are several.
        before: the user's steps before the first one, for messages.

    Raises:
        SettingsError: names the first value that is too large.
    """
    embedding = network.embedding
    mean, deviation = (embedding.ops.to_array(values) for values in (embedding.mean, embedding.deviation))
    for number, values in enumerate(all_series, start=1):
        with np.errstate(over="ignore"):
            is_finite = np.isfinite(((values - mean) / deviation).astype(np.float32))
        if not is_finite.all():
            step, dimension = np.argwhere(~is_finite)[0].tolist()
            name, values = f"{what} {number}" if len(all_series) > 1 else what, np.pad(values, ((before, 0), (0, 0)))
            raise_not_finite(name, values, before + step, dimension)


def raise_not_finite(name: str, piece: Values, step: int, dimension: int) -> NoReturn:
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


def _check_index(index: Any, name: str) -> None:
    """Raise a SettingsError unless the times of a pandas index are regular."""
    gaps = np.diff(index.asi8)
    if not len(gaps) or (gaps[0] > 0 and (gaps == gaps[0]).all()):
        return
    from stepscan.data.series.regular_series import align_rows
    from stepscan.data.series.time_options import DEFAULT_TIMES
    from stepscan.data.series.time_parser import read_times
    from stepscan.data.series.time_step import infer_step

    try:
        times = read_times([(step, str(time)) for step, time in enumerate(index, start=1)], name)
        align_rows(times, infer_step(times), name, DEFAULT_TIMES)
    except DataError as error:
        reason = error.reason.replace("(line ", "(step ").rstrip(".")
        advice = "sort it (sort_index), fill gaps (asfreq), or give the values alone (to_numpy)"
        raise SettingsError(f"{name}: its index: {reason}; {advice}") from None


def as_numbers(item: Any, name: str) -> Values:
    """A contiguous copy of an array, or of nested lists, in float64; messages call it `name`.

    Raises:
        SettingsError: it is ragged, has masked values, or is not of real numbers.
    """
    if np.ma.is_masked(item):
        raise SettingsError(f"{name}: expected numbers, got masked values; fill the gaps first: no value is guessed")
    try:
        values = np.asarray(item)
    except ValueError:
        raise SettingsError(f"{name}: expected steps of equally many numbers, got ragged ones") from None
    if values.dtype.kind not in "iuf" and hasattr(item, "columns"):
        other_columns = [str(column) for column, kind in item.dtypes.items() if kind.kind not in "iuf"]
        hint = f"take the columns that are, with the times as index: df.set_index({other_columns[0]!r})"
        raise SettingsError(f"{name}: expected columns of numbers, got {', '.join(map(repr, other_columns))}; {hint}")
    if values.dtype.kind not in "iuf" and values.size:
        shown = repr(item)[:40]
        raise SettingsError(f"{name}: expected a series of numbers, got {shown}; texts and numbers cannot be mixed")
    with np.errstate(over="ignore"):  # overflow gives infinity, which the caller rejects
        return values.astype(np.float64, order="C")
