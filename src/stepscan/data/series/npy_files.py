"""`.npy` files as numeric sequences. Nothing in them is executed: arrays of objects are refused.

`NAME.npy` holds N series of equal length, `[N, T]` or `[N, T, D]`. Their labels lie beside it in `NAME.labels.npy`,
whole numbers or strings: `[N]`, one a series, or `[N, T]`, one a step. To forecast from, `[T]` and `[T, D]` are one
series and `[N, T, D]` are N.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepscan.data.byte_streams import open_bytes
from stepscan.data.series.values import NO_GUESSES, Values
from stepscan.errors import DataError


def labelled_arrays(path: str | Path, labelled: bool) -> Iterator[tuple[Values, str | None]]:
    """Each series `[T, D]` and its label; None without `NAME.labels.npy`, if `labelled` does not ask for it."""
    series = _series(path)
    beside = labels_beside(path)
    if not labelled and not beside.exists():
        yield from ((values, None) for values in series)
        return
    yield from zip(series, _labels(beside, series.shape[:1]).tolist(), strict=True)


def tagged_arrays(path: str | Path, labelled: bool) -> Iterator[tuple[Values, list[str]]]:
    """Each series `[T, D]` and its T tags; none without `NAME.labels.npy`, if `labelled` does not ask for it."""
    series = _series(path)
    if not labelled and not labels_beside(path).exists():
        yield from ((values, []) for values in series)
        return
    yield from zip(series, _labels(labels_beside(path), series.shape[:2]).tolist(), strict=True)


def histories(path: str | Path) -> list[Values]:
    """`[T]` and `[T, D]` as one series, `[N, T, D]` as N."""
    values = _finite(_read(path), path)
    if values.ndim not in (1, 2, 3):
        raise DataError(f"expected an array [T], [T, D] or [N, T, D], but its shape is {values.shape}.", path=path)
    return [values[:, None]] if values.ndim == 1 else [values] if values.ndim == 2 else list(values)


def labels_beside(path: str | Path) -> Path:
    """Where the labels of an array file lie: `NAME.labels.npy`."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".npy") + ".labels.npy")


def _series(path: str | Path) -> Values:
    values = _finite(_read(path), path)
    if values.ndim not in (2, 3):
        raise DataError(f"expected an array [N, T] or [N, T, D], but its shape is {values.shape}.", path=path)
    return values[:, :, None] if values.ndim == 2 else values


def _labels(path: Path, shape: tuple[int, ...]) -> NDArray[np.str_]:
    labels = _read(path)
    if labels.dtype.kind not in "iuU":
        raise DataError(f"expected labels as whole numbers or strings, but they are {labels.dtype}.", path=path)
    if labels.shape != shape:
        raise DataError(f"expected labels of shape {shape}, but it is {labels.shape}.", path=path)
    return labels.astype(str)


def _finite(values: NDArray[Any], path: str | Path) -> Values:
    if values.dtype.kind not in "iuf":
        raise DataError(f"expected an array of real numbers, but it is of {values.dtype}.", path=path)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        place = wrong[0].tolist()
        reason = f"the value at {place} is {values[tuple(place)]}, not a finite number."
        raise DataError(reason, path=path, hint=NO_GUESSES)
    return values.astype(np.float64)


def _read(path: str | Path) -> NDArray[Any]:
    try:
        with open_bytes(path) as file:
            raw = file.read()
        return np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    except FileNotFoundError:
        hint = "The labels of NAME.npy lie in NAME.labels.npy." if ".labels." in Path(path).name else ""
        raise DataError("no such file.", path=path, hint=hint) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"the gzip data is cut off or damaged: {error}.", path=path) from None
    except (ValueError, MemoryError, OverflowError) as error:
        raise DataError(f"expected a .npy file of numbers, but: {error}.", path=path) from None
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror or error}.", path=path) from None
