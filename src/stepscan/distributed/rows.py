"""Prediction of the rows of a table: values of one column → records, or an error for each bad row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

import stepscan
from stepscan.data.input_columns import COLUMNS, InputColumn, input_column
from stepscan.data.read_options import ReadOptions
from stepscan.distributed.record_columns import record_types
from stepscan.errors import DataError, SettingsError
from stepscan.json_text import json_text
from stepscan.options import TASKS, check_settings

PORTION = 2048  # rows that are predicted at a time

Result = dict[str, Any] | DataError  # of a row: its record, or what is wrong with it


class RowPredictor:
    """A model, and all that decides what it predicts for a row. It is what workers are sent.

    Args:
        model: a model that `stepscan.runtime.load` returned, or an ensemble of such; not of text generation.
        reading: which column has the inputs.
        arguments: of `Translator.translate`, or of `Forecaster.forecast`, which needs `length`.
        settings: settings of the model to change, such as the beam width.

    Raises:
        SettingsError: the model is of another kind, or an argument or a setting is not one of its task.
    """

    def __init__(
        self,
        model: Any,
        reading: ReadOptions = ReadOptions(),  # noqa: B008
        arguments: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.reading, self.arguments = model, reading._replace(bad_lines=None), dict(arguments or {})
        _check_model(model, self.arguments)
        check_settings(TASKS[model.task], settings or {})
        for name, value in (settings or {}).items():
            setattr(model, name, value)
        self.version = stepscan.__version__
        _ = self.column  # checks the options

    @property
    def column(self) -> InputColumn:
        """The column of the inputs."""
        dimensions = None if self.model.tokenizers_ else self.model.network_.embedding.size
        return input_column(self.model.task, dimensions, self.reading)

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The columns of the predictions and their types."""
        return record_types(self.model, self.arguments)

    @cached_property
    def fingerprint(self) -> dict[str, str]:
        """What predictions depend on: `model`, a hash over the weights of all members, and `settings`, as JSON."""
        members = list(self.model.members_) or [self.model]
        usage = {name: value for name, value in self.model.usage.items() if name != "threads"}
        columns = {name: str(value) for name in COLUMNS if (value := getattr(self.reading, name)) is not None}
        settings = {**usage, **columns, **self.arguments, "stepscan": self.version}
        return {
            "model": " ".join(member.fingerprint.hex() for member in members),
            "settings": json_text(dict(sorted(settings.items())), default=str),
        }

    def check_version(self) -> None:
        """Check, on a worker, that it has the version of Stepscan that sent the model.

        Raises:
            SettingsError: it has another one.
        """
        if self.version != stepscan.__version__:
            raise SettingsError(
                f"a worker has Stepscan {stepscan.__version__}, expected {self.version}, as where the run was started; "
                "install the same version on all machines"
            )

    def predict(
        self, values: pa.Array | pa.ChunkedArray, name: str, path: str | Path, first: int
    ) -> tuple[list[Any], list[Result]]:
        """The checked inputs of consecutive rows, and the prediction of each.

        Args:
            values: the cells of the column.
            name: of the column.
            path: the file, for errors.
            first: number of the first row, from 1, for errors.

        Returns:
            For each row its input (None for a bad row), and its record or the error.
        """
        column = self.column
        inputs: list[Any] = []
        results: list[Result] = []
        for row, cell in enumerate(_cells(values), start=first):
            try:
                inputs.append(column.read(column.value(cell, name), path, row))
                results.append({})
            except DataError as error:
                inputs.append(None)
                results.append(DataError(error.reason, path=path, line=row, hint=error.hint, unit="row"))
        good = [index for index, result in enumerate(results) if not isinstance(result, DataError)]
        records = self._records([inputs[index] for index in good], path, [first + index for index in good])
        for index, record in zip(good, records, strict=True):
            results[index] = record
        return inputs, results

    def _records(self, inputs: Sequence[Any], path: str | Path, rows: Sequence[int]) -> list[Result]:
        if self.model.task != "forecast":
            return list(self.model.predict_records(inputs, **self.arguments))
        return [self._forecast(series, path, row) for series, row in zip(inputs, rows, strict=True)]

    def _forecast(self, series: Any, path: str | Path, row: int) -> Result:
        try:
            forecast = self.model.forecast(series, **self.arguments)
        except SettingsError as error:  # of this series, such as one that is too short
            return DataError(f"{error}.", path=path, line=row, unit="row")
        return {name: values.tolist() for name, values in forecast._asdict().items()}


_ARGUMENTS = {  # of predictions, by task
    "translate": ("n_best", "minimum_length", "maximum_length", "prefix"),
    "forecast": ("length", "level", "num_samples", "seed"),
}


def _check_model(model: Any, arguments: Mapping[str, Any]) -> None:
    if model.task == "generate":
        raise SettingsError(
            "expected a model of any other task, got a language model; texts are generated by `stepscan generate`"
        )
    if not hasattr(model, "usage"):
        raise SettingsError(
            f"expected a model that runs without PyTorch, got an estimator, {type(model).__name__}; save it, and give "
            "its folder"
        )
    if other := [name for name in arguments if name not in _ARGUMENTS.get(model.task, ())]:
        raise SettingsError(f"{', '.join(other)}: not for models of the task {model.task}")
    if model.task == "forecast":
        from stepscan.models.forecaster import ForecastRequest

        if "length" not in arguments:
            raise SettingsError("length: expected the number of steps to forecast, got none")
        ForecastRequest.checked(**{"level": 0.9, "num_samples": 500, "seed": 0, **arguments})


def _cells(values: pa.Array | pa.ChunkedArray) -> list[Any]:
    """The values in Python; text that is not UTF-8 as bytes, which no model takes."""
    try:
        return values.to_pylist()
    except UnicodeDecodeError:
        return [_cell(value) for value in values]


def _cell(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return b""
