"""Series in `.npy` files. Pickled arrays of objects are refused, so that no code in a file is executed.

`NAME.npy` holds N series of equal length, `[N, T]` or `[N, T, D]`. Their labels are in `NAME.labels.npy`, whole numbers
or strings: `[N]`, one per series, or `[N, T]`, one per step. For forecasting, `[T]` and `[T, D]` are one series and
`[N, T, D]` are N.
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
from stepscan.data.lines import damaged_gzip
from stepscan.data.series.values import FILL_HINT, Values
from stepscan.errors import DataError


def labelled_arrays(path: str | Path, labelled: bool) -> Iterator[tuple[Values, str | None]]:
    """Yield each series `[T, D]` with its label.

    Args:
        path: `NAME.npy`.
        labelled: whether labels are required; if not, and there is no `NAME.labels.npy`, they are None.

    Raises:
        DataError: a file cannot be read, an array has a wrong shape or type, or a value is not finite.
    """
    series, labels_path = _read_series(path), labels_file(path)
    if not labelled and not labels_path.exists():
        yield from ((values, None) for values in series)
        return
    yield from zip(series, _read_labels(labels_path, series.shape[:1]).tolist(), strict=True)


def tagged_arrays(path: str | Path, labelled: bool) -> Iterator[tuple[Values, list[str]]]:
    """Yield each series `[T, D]` with its T tags; as `labelled_arrays`, but without labels the lists are empty."""
    series, labels_path = _read_series(path), labels_file(path)
    if not labelled and not labels_path.exists():
        yield from ((values, []) for values in series)
        return
    yield from zip(series, _read_labels(labels_path, series.shape[:2]).tolist(), strict=True)


def unlabelled_arrays(path: str | Path) -> list[Values]:
    """Series to forecast from: `[T]` and `[T, D]` are one, `[N, T, D]` are N. Errors as in `labelled_arrays`."""
    values = _as_finite(_read(path), path)
    if values.ndim not in (1, 2, 3):
        raise DataError(f"expected an array [T], [T, D] or [N, T, D], got the shape {values.shape}.", path=path)
    return [values[:, None]] if values.ndim == 1 else [values] if values.ndim == 2 else list(values)


def labels_file(path: str | Path) -> Path:
    """The file of the labels of an array file: `NAME.labels.npy` for `NAME.npy`."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".npy") + ".labels.npy")


def _read_series(path: str | Path) -> Values:
    values = _as_finite(_read(path), path)
    if values.ndim not in (2, 3):
        raise DataError(f"expected an array [N, T] or [N, T, D], got the shape {values.shape}.", path=path)
    return values[:, :, None] if values.ndim == 2 else values


def _read_labels(path: Path, shape: tuple[int, ...]) -> NDArray[np.str_]:
    labels = _read(path)
    if labels.dtype.kind not in "iuU":
        raise DataError(f"expected labels that are whole numbers or strings, got {labels.dtype}.", path=path)
    if labels.shape != shape:
        raise DataError(f"expected labels of shape {shape}, got {labels.shape}.", path=path)
    return labels.astype(str)


def _as_finite(values: NDArray[Any], path: str | Path) -> Values:
    if values.dtype.kind not in "iuf":
        raise DataError(f"expected an array of real numbers, got {values.dtype}.", path=path)
    not_finite = np.argwhere(~np.isfinite(values))
    if len(not_finite):
        index = not_finite[0].tolist()
        reason = f"expected a finite number at {index}, got {values[tuple(index)]}."
        raise DataError(reason, path=path, hint=FILL_HINT)
    return values.astype(np.float64)


def _read(path: str | Path) -> NDArray[Any]:
    try:
        with open_bytes(path) as file:
            content = file.read()
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except FileNotFoundError:
        hint = "The labels of NAME.npy belong into NAME.labels.npy." if ".labels." in Path(path).name else ""
        raise DataError("no such file.", path=path, hint=hint) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(damaged_gzip(error), path=path) from None
    except (ValueError, MemoryError, OverflowError) as error:
        raise DataError(f"expected a .npy file of numbers, got an invalid one: {error}.", path=path) from None
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror or error}.", path=path) from None
