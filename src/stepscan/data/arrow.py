"""Data sets in columns: Parquet files (through pyarrow), and `hf:owner/name` (through `datasets`).

`hf:NAME` is a data set of the Hugging Face Hub, or a folder that `save_to_disk` wrote; `hf:NAME:SPLIT` one of its
splits (`train` if none is named). Both libraries are optional, and imported only here.
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


def is_hub(path: str | Path) -> bool:
    """Whether a path names a data set for `datasets`."""
    return str(path).startswith(_PREFIX)


def is_arrow(path: str | Path) -> bool:
    """Whether a path names data in columns: Parquet, or a data set."""
    return is_hub(path) or Path(path).suffix.lower() == ".parquet"


def records(path: str | Path) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries, one at a time; classes that are stored as numbers with names are given by name.

    Raises:
        StepscanError: the library is not installed.
        DataError: there is no such data set, split or file, it cannot be read, or it has no rows.
    """
    found = False
    for row in _of_hub(str(path)) if is_hub(path) else _of_parquet(path):
        found = True
        yield row
    if not found:
        raise DataError("the data set has no rows.", path=path)


def _of_parquet(path: str | Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise _not_installed("pyarrow") from None
    try:
        with ParquetFile(_seekable(path)) as file:
            named = _named_in((file.schema_arrow.metadata or {}).get(b"huggingface"))
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield {column: _by_name(value, named.get(column)) for column, value in row.items()}
    except (OSError, ArrowException) as error:
        raise DataError(f"expected a Parquet file, but: {_first_line(error)}.", path=path) from error


def _seekable(path: str | Path) -> Any:
    """The file, or what a stream holds: the end of a Parquet file is read first."""
    if not is_stream(path):
        return path
    with open_bytes(path) as stream:
        return BytesIO(stream.read())


def _of_hub(path: str) -> Iterator[dict[str, Any]]:
    try:
        import datasets
    except ModuleNotFoundError:
        raise _not_installed("datasets") from None
    name, _, split = path.removeprefix(_PREFIX).partition(":")
    try:
        found: Any = datasets.load_from_disk(name) if Path(name).is_dir() else datasets.load_dataset(name)
    except Exception as error:  # of many libraries: network, files, formats
        raise DataError(f"the data set cannot be loaded: {_first_line(error)}.", path=path) from error
    if isinstance(found, dict):
        split = split or "train"
        if split not in found:
            raise DataError(f"the data set has no split {split!r}.", path=path, hint=nearest(split, found).strip())
        found = found[split]
    elif split:
        raise DataError(f"the data set has no splits, so none is called {split!r}.", path=path)
    named = {column: names for column, kind in found.features.items() if (names := _names(kind))}
    for row in found:
        yield {column: _by_name(value, named.get(column)) for column, value in row.items()}


def _names(kind: Any) -> list[str] | None:
    """The names of the classes that a column holds, by itself or in lists."""
    return getattr(kind, "names", None) or getattr(getattr(kind, "feature", None), "names", None)


def _named_in(metadata: bytes | None) -> dict[str, list[str]]:
    """The names of the classes in columns, as `datasets` writes them into a Parquet file's metadata."""
    try:
        features = json.loads(metadata or b"{}")["info"]["features"]
        return {column: names for column, kind in features.items() if (names := _names_of(kind))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _names_of(kind: Any) -> list[str] | None:
    return kind.get("names") or (_names_of(kind["feature"]) if "feature" in kind else None)


def _by_name(value: Any, names: list[str] | None) -> Any:
    if names is None or value is None:
        return value
    return [_by_name(one, names) for one in value] if isinstance(value, list) else names[value] if value >= 0 else None


def _not_installed(library: str) -> StepscanError:
    return StepscanError(f"this needs {library}: pip install 'stepscan[hub]'")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
