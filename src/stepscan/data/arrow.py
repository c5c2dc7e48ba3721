"""Data sets in Arrow's formats: Parquet files (with pyarrow), and `hf:owner/name` (with `datasets`).

`hf:NAME` is a data set of the Hugging Face Hub, or a folder written by `save_to_disk`; `hf:NAME:SPLIT` is one of its
splits (`train` by default). Both libraries are optional, and imported only here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from stepscan.data.byte_streams import is_stream, open_bytes
from stepscan.errors import DataError, StepscanError, nearest

_PREFIX = "hf:"
_ROWS_AT_ONCE = 2048  # of a Parquet file, as Python objects


def is_hub(path: str | Path) -> bool:
    """Whether a path is `hf:NAME`, a data set for `datasets`."""
    return str(path).startswith(_PREFIX)


def is_arrow(path: str | Path) -> bool:
    """Whether a path is a Parquet file or a data set."""
    return is_hub(path) or Path(path).suffix.lower() == ".parquet"


def records(path: str | Path) -> Iterator[dict[str, Any]]:
    """Yield rows as dictionaries. Classes that are stored as numbers with names are replaced by their names.

    Raises:
        StepscanError: the library is not installed.
        DataError: there is no such data set, split or file, it cannot be read, or it has no rows.
    """
    empty = True
    for row in _hub_records(str(path)) if is_hub(path) else _parquet_records(path):
        empty = False
        yield row
    if empty:
        raise DataError("expected a data set with rows, got none.", path=path)


def _parquet_records(path: str | Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise _not_installed("pyarrow") from None
    try:
        with ParquetFile(_seekable(path)) as file:
            class_names = _parquet_class_names((file.schema_arrow.metadata or {}).get(b"huggingface"))
            for batch in _batches(file):
                for row in batch.to_pylist():
                    yield {column: _replace_classes(value, class_names.get(column)) for column, value in row.items()}
    except (OSError, ArrowException) as error:
        raise DataError(f"expected a Parquet file, got an error: {_first_line(error)}.", path=path) from error


def _batches(file: Any) -> Iterator[Any]:
    """The rows of a Parquet file, one row group after the other: of all together, PyArrow keeps what it has read."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(batch_size=_ROWS_AT_ONCE, row_groups=[group])


def _seekable(path: str | Path) -> Any:
    """The file, or a stream's content in memory: the end of a Parquet file is read first."""
    if not is_stream(path):
        return path
    with open_bytes(path) as stream:
        return BytesIO(stream.read())


def hub_fingerprint(path: str) -> str:
    """The fingerprint that `datasets` gives to the content of a data set.

    Raises:
        StepscanError: the library is not installed.
        DataError: there is no such data set or split.
    """
    return str(_hub_data(path)._fingerprint)


def _hub_records(path: str) -> Iterator[dict[str, Any]]:
    data = _hub_data(path)
    class_names = {column: names for column, feature in data.features.items() if (names := _hub_class_names(feature))}
    for row in data:
        yield {column: _replace_classes(value, class_names.get(column)) for column, value in row.items()}


def _hub_data(path: str) -> Any:
    """The split of a data set, which is memory-mapped."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise _not_installed("datasets") from None
    name, _, split = path.removeprefix(_PREFIX).partition(":")
    try:
        data: Any = datasets.load_from_disk(name) if Path(name).is_dir() else datasets.load_dataset(name)
    except Exception as error:  # of many libraries: network, files, formats
        raise DataError(f"the data set cannot be loaded: {_first_line(error)}.", path=path) from error
    if isinstance(data, dict):
        split = split or "train"
        if split not in data:
            hint = nearest(split, data).strip()
            raise DataError(f"expected a data set with a split {split!r}, got none.", path=path, hint=hint)
        data = data[split]
    elif split:
        raise DataError(f"expected a data set with a split {split!r}, got one without splits.", path=path)
    return data


def _hub_class_names(feature: Any) -> list[str] | None:
    """The names of the classes in a column of classes, or of lists of classes; else None."""
    return getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)


def _parquet_class_names(metadata: bytes | None) -> dict[str, list[str]]:
    """The names of the classes per column, as `datasets` writes them into the metadata of a Parquet file."""
    try:
        features = json.loads(metadata or b"{}")["info"]["features"]
        return {column: names for column, feature in features.items() if (names := _nested_names(feature))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _nested_names(feature: Any) -> list[str] | None:
    return feature.get("names") or (_nested_names(feature["feature"]) if "feature" in feature else None)


def _replace_classes(value: Any, names: list[str] | None) -> Any:
    """The names of classes for their numbers; None for a missing class (-1)."""
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_replace_classes(item, names) for item in value]
    return names[value] if value >= 0 else None


def _not_installed(library: str) -> StepscanError:
    return StepscanError(f"this needs {library}: pip install 'stepscan[hub]'")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
