"""Prediction of data sets of Ray Data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from stepscan.data.read_options import ReadOptions
from stepscan.distributed.cluster import keep_little, processors
from stepscan.distributed.record_columns import record_columns
from stepscan.distributed.rows import PORTION, RowPredictor
from stepscan.errors import DataError, SettingsError

if TYPE_CHECKING:
    from ray.data import Dataset

BadRows = Literal["error", "column"]
_BAD_ROWS = ("error", "column")


def predict(
    dataset: Dataset,
    model: str | Path | Any,
    *,
    column: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    prefix: str = "",
    bad_rows: BadRows = "error",
    workers: int | tuple[int, int] | None = None,
) -> Dataset:
    """A data set with the predictions for each row next to its columns, in the same order.

    Nothing is computed before the data set is consumed. Each worker is an actor with one processor that holds the
    model; one that dies is started again, and what it had not handed on is computed again.

    Args:
        dataset: of `ray.data`; its rows have a text, for a tagger a list of tokens, or for a model of series of numbers
            a list of them (`[T]` or `[T, D]`).
        model: a model folder on this machine, or a model that `stepscan.runtime.load` returned. The workers need not
            see the folder.
        column: of the inputs; None: by its usual name, as `stepscan predict` finds it.
        arguments: of `Translator.translate`, such as `n_best`, or of `Forecaster.forecast`, which needs `length`.
        settings: settings of the model to change, such as `beam_width`.
        prefix: of the names of the new columns, which are those of `stepscan predict --json`.
        bad_rows: a row with a missing text or the like is an `error`, or has its reason in the new `column` `error`,
            and no predictions.
        workers: their number, or the least and the greatest; None: from 1 to one a processor of the cluster, as Ray
            finds it best. A number that takes every processor leaves none to what reads the data set, which then waits
            for ever.

    Raises:
        SettingsError: an argument is not valid, the model generates texts, or the data set has a column of a new name.
        ModelFormatError: there is no model folder.
        UnsupportedLayer: a layer of the model needs PyTorch.
        DataError: there is no column of inputs. (A bad row is one when the data set is consumed.)
    """
    import ray

    if bad_rows not in _BAD_ROWS:
        raise SettingsError(f"bad_rows: expected 'error' or 'column', got {bad_rows!r}")
    if isinstance(model, str | Path):
        from stepscan import runtime

        model = runtime.load(model)
    predictor = RowPredictor(model, _reading(model, column), arguments, settings)
    names = list(dataset.columns() or [])
    source = predictor.column.find(names, "the data set")
    _check_names([f"{prefix}{name}" for name in (*predictor.types, *_error_column(bad_rows))], names)
    count = processors(ray)
    least, greatest = (1, count) if workers is None else workers if isinstance(workers, tuple) else (workers, workers)
    result = dataset.map_batches(
        TableWorker,
        fn_constructor_args=[predictor, source, prefix, bad_rows],
        batch_size=PORTION,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=greatest),
        num_cpus=min(1, count / 2),  # at least one is left for what makes the data set
        udf_modifying_row_count=False,
    )
    result.context.execution_options.preserve_order = True
    return result


class TableWorker:
    """An actor that predicts tables.

    Args:
        predictor: knows the model.
        column, prefix, bad_rows: see `predict`.
    """

    def __init__(self, predictor: RowPredictor, column: str, prefix: str, bad_rows: BadRows) -> None:
        keep_little()
        predictor.check_version()
        self.predictor, self.column, self.prefix, self.bad_rows = predictor, column, prefix, bad_rows

    def __call__(self, table: pa.Table) -> pa.Table:
        """The table with the predictions as further columns.

        Raises:
            DataError: a row is bad, if that is an error.
        """
        _, results = self.predictor.predict(table[self.column], self.column, "the data set", 1)
        bad = [result if isinstance(result, DataError) else None for result in results]
        if self.bad_rows == "error" and any(bad):
            error = next(error for error in bad if error)
            cells = {name: table[name][(error.line or 1) - 1].as_py() for name in table.column_names}
            raise DataError(f"{error.reason} The row: {str(cells)[:200]}", path="the data set", hint=error.hint)
        types = self.predictor.types
        records = record_columns([None if isinstance(one, DataError) else one for one in results], types)
        for name, values in zip(types, records, strict=True):
            table = table.append_column(f"{self.prefix}{name}", values)
        for name in _error_column(self.bad_rows):
            reasons = pa.array([error and error.reason for error in bad], pa.string())
            table = table.append_column(f"{self.prefix}{name}", reasons)
        return table


def _error_column(bad_rows: BadRows) -> list[str]:
    return ["error"] if bad_rows == "column" else []


def _reading(model: Any, column: str | None) -> ReadOptions:
    """The options that name the column of the inputs."""
    is_tokens = model.task == "tag" and bool(model.tokenizers_)
    return ReadOptions(token_column=column) if is_tokens else ReadOptions(text_column=column)


def _check_names(new: list[str], names: list[str]) -> None:
    if twice := [name for name in new if name in names]:
        raise SettingsError(
            f"prefix: expected new names for the predictions, but the data set has {', '.join(map(repr, twice))}; set "
            "it, such as prefix='predicted_'"
        )
