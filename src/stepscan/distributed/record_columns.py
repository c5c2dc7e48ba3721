"""Predictions as columns of Arrow: what `stepscan predict --json` prints, with a type for each name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

_LABELS = pa.map_(pa.string(), pa.float64())  # label → probability
_STEPS = pa.list_(pa.list_(pa.float64()))  # [L, D]
_CLASSIFIED = {
    "classification": {"label": pa.string(), "probability": pa.float64()},
    "multilabel": {"labels": _LABELS, "probabilities": _LABELS},
    "regression": {"number": pa.float64()},
}
_TRANSLATION = pa.struct({"text": pa.string(), "log_probability": pa.float64(), "score": pa.float64()})
_RECORDS = {
    "tag": {"tokens": pa.list_(pa.string()), "tags": pa.list_(pa.string())},
    "translate": {"translation": pa.string(), "score": pa.float64()},
    "forecast": {"median": _STEPS, "low": _STEPS, "high": _STEPS},
}


def record_types(model: Any, arguments: Mapping[str, Any]) -> dict[str, pa.DataType]:
    """The columns of a model's predictions and their types.

    Args:
        model: of any task but generate.
        arguments: of its predictions; `n_best` above 1 adds a column of that name.
    """
    types = _CLASSIFIED[model.problem_type] if model.task == "classify" else _RECORDS[model.task]
    return types | ({"n_best": pa.list_(_TRANSLATION)} if arguments.get("n_best", 1) > 1 else {})


def record_columns(records: Sequence[Mapping[str, Any] | None], types: Mapping[str, pa.DataType]) -> list[pa.Array]:
    """The columns of records, in the order of `types`; for None, instead of a record, null."""
    return [
        pa.array([None if record is None else _plain(record[name]) for record in records], kind)
        for name, kind in types.items()
    ]


def _plain(value: Any) -> Any:
    """A value as `pyarrow.array` takes it: a map as pairs."""
    return list(value.items()) if isinstance(value, dict) else value
