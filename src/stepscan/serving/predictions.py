"""What a model answers for inputs, as JSON: the operations of the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stepscan.json_text import json_text
from stepscan.models.forecaster import Forecast
from stepscan.serving.session_results import most_probable


def predict(model: Any, inputs: Sequence[Any], with_probabilities: bool) -> list[bytes]:
    """The predictions of any model but a forecaster."""
    return list(map(as_json, _RECORDS[model.task](model, inputs, with_probabilities)))


def _classified(model: Any, inputs: Sequence[Any], with_probabilities: bool) -> list[dict[str, Any]]:
    records = model.predict_records(inputs)
    if with_probabilities and model.problem_type != "regression":
        labels = [str(label) for label in model.classes_]
        for record, row in zip(records, model.predict_proba(inputs).tolist(), strict=True):
            record["probabilities"] = dict(zip(labels, row, strict=True))
    return records


def _tagged(model: Any, inputs: Sequence[Any], with_probabilities: bool) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [{"tags": tags} for tags in model.predict(inputs)]
    if model.tokenizers_:
        records = [{"tokens": tokens, **record} for tokens, record in zip(inputs, records, strict=True)]
    if with_probabilities:
        for record, rows in zip(records, model.predict_proba(inputs), strict=True):
            record["probabilities"] = rows.tolist()
    return records


def _continued(model: Any, inputs: Sequence[Any], with_probabilities: bool) -> list[dict[str, Any]]:
    rows = model.predict_proba(inputs)
    records = [most_probable(model, row) for row in rows]
    if with_probabilities:
        for record, row in zip(records, rows, strict=True):
            record["probabilities"] = row.tolist()
    return records


def _translated(model: Any, inputs: Sequence[Any], with_probabilities: bool) -> list[dict[str, Any]]:
    return model.predict_records(inputs)


_RECORDS: dict[str, Callable[[Any, Sequence[Any], bool], list[dict[str, Any]]]] = {
    **{"classify": _classified, "tag": _tagged, "generate": _continued, "translate": _translated},
}


def translate(
    model: Any,
    inputs: Sequence[str],
    n_best: int,
    minimum_length: int,
    maximum_length: int | None,
    prefix: str,
    with_attention: bool,
) -> list[bytes]:
    """Translations; arguments are those of `Translator.translate`."""
    limits = {"minimum_length": minimum_length, "maximum_length": maximum_length, "prefix": prefix}
    records = []
    for source, best in zip(inputs, model.translate(inputs, n_best=n_best, **limits), strict=True):
        record: dict[str, Any] = {"translation": best[0].text, "score": best[0].score}
        if n_best > 1:
            record["n_best"] = [one._asdict() for one in best]
        if with_attention:
            source_symbols, target_symbols, weights = model.attention_weights(source, best[0].text)
            record["attention"] = {"source": source_symbols, "target": target_symbols, "weights": weights.tolist()}
        records.append(record)
    return list(map(as_json, records))


def forecast(
    model: Any, inputs: Sequence[Any], length: int, level: float, num_samples: int, seed: int | None
) -> list[bytes]:
    """Forecasts; arguments are those of `Forecaster.forecast`. Those of a flat series `[T]` are flat."""
    answers = []
    for series in inputs:
        values = model.forecast(series, length, level=level, num_samples=num_samples, seed=seed)
        answers.append(as_json(forecast_record(values, is_flat=np.ndim(series) == 1)))
    return answers


def forecast_record(forecast: Forecast, *, is_flat: bool) -> dict[str, Any]:
    """A forecast `[L, D]` as it is answered; flat: `[L]`."""
    fields = forecast._asdict().items()
    return {name: (values[:, 0] if is_flat else values).tolist() for name, values in fields}


def as_json(record: dict[str, Any]) -> bytes:
    """A record as JSON."""
    return json_text(record, default=_plain).encode()


def _plain(value: Any) -> Any:
    """A number of NumPy as one of Python."""
    return value.item() if isinstance(value, np.generic) else str(value)
