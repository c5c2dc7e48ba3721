"""Numbers that users pass to a model, checked: series of T time steps of D dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from stepscan.data.series.values import Values
from stepscan.errors import DataError, SettingsError
from stepscan.runtime.examples import as_list


def are_numbers(items: Iterable[Any]) -> bool:
    """Whether the first item that is not empty is a series of numbers, and not a text or a list of tokens."""
    for item in as_list(items):
        if isinstance(item, str):
            return False
        if len(np.shape(item)) and len(item):
            if np.asarray(item).dtype.kind == "c":
                raise SettingsError("Complex data not supported: give real numbers, such as the two parts side by side")
            return np.asarray(item).dtype.kind in "iuf"
    return False


def checked_series(items: Iterable[Any], size: int | None = None, what: str = "series") -> list[Values]:
    """Each item as an array `[T, D]` of float64; `[T]` is one dimension.

    Args:
        items: arrays, or nested lists of numbers; one array `[N, T]` or `[N, T, D]` is N series.
        size: D, if it is known; otherwise that of the first.
        what: for messages.

    Raises:
        SettingsError: says which series is no array of finite numbers, or has another number of dimensions.
    """
    found: list[Values] = []
    for number, item in enumerate(as_list(items), start=1):
        values = _as_array(item, f"{what} {number}")
        expected = size if size is not None else found[0].shape[1] if found else values.shape[1]
        if values.shape[1] != expected:
            reference = "the model has" if size is not None else f"{what} 1 has"
            raise SettingsError(f"{what} {number} has {values.shape[1]} dimensions a step, but {reference} {expected}")
        found.append(values)
    return found


def _as_array(item: Any, name: str) -> Values:
    if hasattr(item, "index") and hasattr(item.index, "asi8"):  # a column or table of pandas under times
        _check_index(item.index, name)
    values = as_numbers(item, name)
    if values.ndim not in (1, 2):
        raise SettingsError(f"{name} has the shape {values.shape}; a series is [T] or [T, D]: steps and dimensions")
    values = values[:, None] if values.ndim == 1 else values
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        step, dimension = wrong[0].tolist()
        shown = str(values[step, dimension]).replace("nan", "NaN")
        raise SettingsError(
            f"{name} is {shown} at step {step + 1}, dimension {dimension + 1}; fill the gaps first: no value is guessed"
        )
    return values


def _check_index(index: Any, name: str) -> None:
    """Raise a SettingsError unless each of the times is one step after the one before."""
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
        mend = "sort it (sort_index), fill gaps (asfreq), or give the values alone (to_numpy)"
        raise SettingsError(f"{name}: its index: {reason}; {mend}") from None


def as_numbers(item: Any, name: str) -> Values:
    """A copy of an array, or of nested lists, in float64 and one piece of memory; `name` is for messages.

    Raises:
        SettingsError: it is ragged, has values that are masked out, or is not of real numbers.
    """
    if np.ma.is_masked(item):
        raise SettingsError(f"{name} has values that are masked out; fill the gaps first: no value is guessed")
    try:
        values = np.asarray(item)
    except ValueError:
        raise SettingsError(f"{name} is ragged: every step needs as many numbers as the first") from None
    if values.dtype.kind not in "iuf" and hasattr(item, "columns"):
        others = [str(column) for column, kind in item.dtypes.items() if kind.kind not in "iuf"]
        hint = f"take the columns that are, with the times as index: df.set_index({others[0]!r})"
        raise SettingsError(f"{name} has columns that are not numbers: {', '.join(map(repr, others))}; {hint}")
    if values.dtype.kind not in "iuf" and values.size:
        shown = repr(item)[:40]
        raise SettingsError(f"{name} is {shown}, not a series of numbers; texts and numbers cannot be mixed")
    with np.errstate(over="ignore"):  # too large a number is infinite, and refused as such
        return values.astype(np.float64, order="C")
